"""`POST`, `GET`, `PUT`, `DELETE /memories` and promote, over a real store."""

import base64
from hashlib import sha256

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.api.options import ApiOptions

ALICE = {"X-Agent-Id": "alice"}
BOB = {"X-Agent-Id": "bob"}
MEMORIES = "/api/v1/memories"
FIELDS = {
    *("id", "tier", "namespace", "title", "content", "tags", "priority", "confidence", "source"),
    *("access_count", "created_at", "updated_at", "expires_at", "metadata", "reflection_depth"),
    *("memory_kind", "citations", "confidence_source", "version"),
}


async def stored(api, headers=ALICE, **body):
    body = {"title": "Coffee", "content": "black", **body}
    reply = await api.post(MEMORIES, json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


def refusal(reply):
    return reply.status_code, reply.json()["error"]


# -- storing -----------------------------------------------------------------------------------


async def test_a_store_answers_the_receipt_all_fields_and_the_memory_itself(api):
    body = await stored(api)

    assert {"id", "tier", "namespace", "title", "agent_id"} <= body.keys()
    assert body["agent_id"] == "alice"
    assert body["memory"].keys() == FIELDS
    assert {key: body[key] for key in FIELDS} == body["memory"]
    assert body["memory"]["metadata"] == {"agent_id": "alice"}
    assert (body["tier"], body["namespace"], body["priority"]) == ("mid", "global", 5)
    assert (body["confidence"], body["source"], body["version"]) == (1.0, "api", 1)


async def test_every_field_of_a_store_is_kept(api):
    span = {"start": 0, "end": 4}
    citation = {"uri": "doc:a", "accessed_at": "2026-06-12T09:15:02Z", "span": span}
    body = await stored(
        api,
        tier="short",
        namespace="team/a",
        tags=["x", "y"],
        priority=9,
        confidence=0.5,
        source="user",
        ttl_secs=100,
        metadata={"topic": "drinks"},
        scope="team",
        kind="decision",
        citations=[citation],
        source_uri="doc:manual",
        source_span=span,
    )
    memory = (await api.get(f"{MEMORIES}/{body['id']}", headers=ALICE)).json()["memory"]

    assert memory["tags"] == ["x", "y"]
    assert memory["metadata"] == {"topic": "drinks", "scope": "team", "agent_id": "alice"}
    assert (memory["memory_kind"], memory["citations"]) == ("decision", [citation])
    assert (memory["source_uri"], memory["source_span"]) == ("doc:manual", span)
    assert (memory["tier"], memory["priority"], memory["confidence"]) == ("short", 9, 0.5)


@pytest.mark.parametrize(("tier", "seconds"), [("short", 21_600), ("mid", 604_800), ("long", None)])
async def test_a_memory_lives_as_long_as_its_tier_says(api, clock, tier, seconds):
    body = await stored(api, tier=tier)
    url = f"{MEMORIES}/{body['id']}"
    if seconds is None:
        assert "expires_at" not in body
        clock.advance(days=4_000)
        assert (await api.get(url, headers=ALICE)).status_code == 200
        return
    clock.advance(seconds=seconds - 60)
    assert (await api.get(url, headers=ALICE)).status_code == 200
    clock.advance(seconds=61)
    assert (await api.get(url, headers=ALICE)).status_code == 404


async def test_a_taken_title_is_refused_and_names_the_holder(api):
    first = await stored(api)
    reply = await api.post(MEMORIES, json={"title": "Coffee", "content": "tea"}, headers=ALICE)

    assert refusal(reply) == (
        409,
        "memory with title 'Coffee' already exists in namespace 'global'",
    )
    assert reply.json()["code"] == "CONFLICT"
    assert reply.json()["existing_id"] == first["id"]


async def test_a_holder_that_the_caller_cannot_see_is_not_named(api):
    await stored(api)
    reply = await api.post(MEMORIES, json={"title": "Coffee", "content": "tea"}, headers=BOB)

    assert reply.status_code == 409
    assert "existing_id" not in reply.json()


async def test_an_expired_holder_frees_its_title_and_goes_to_the_archive(api, clock):
    first = await stored(api, ttl_secs=60)
    clock.advance(seconds=61)
    second = await stored(api)

    assert second["id"] != first["id"]
    assert second["title"] == "Coffee"
    archived = (await api.get("/api/v1/archive")).json()["archived"]
    assert [(row["id"], row["archive_reason"]) for row in archived] == [
        (first["id"], "ttl_expired")
    ]


async def test_version_stores_beside_the_holder_under_the_next_free_title(api):
    await stored(api)
    titles = [(await stored(api, on_conflict="version"))["title"] for _ in range(2)]

    assert titles == ["Coffee (2)", "Coffee (3)"]


async def test_merge_keeps_the_row_and_raises_what_may_only_rise(api):
    first = await stored(
        api, tier="long", priority=8, confidence=0.4, kind="reflection", source_uri="doc:a"
    )
    second = await stored(
        api,
        content="white",
        on_conflict="merge",
        tier="short",
        priority=2,
        confidence=0.9,
        kind="claim",
        tags=["new"],
    )

    assert (second["id"], second["created_at"]) == (first["id"], first["created_at"])
    assert (second["content"], second["tags"]) == ("white", ["new"])
    assert (second["tier"], second["priority"], second["confidence"]) == ("long", 8, 0.9)
    assert "expires_at" not in second
    assert (second["memory_kind"], second["source_uri"]) == ("reflection", "doc:a")
    assert second["version"] == 2


async def test_merge_does_not_touch_the_row_of_another_agent(api):
    first = await stored(api, scope="collective")
    hidden = await stored(api, title="Tea")
    seen = await api.post(
        MEMORIES, json={"title": "Coffee", "content": "x", "on_conflict": "merge"}, headers=BOB
    )
    unseen = await api.post(
        MEMORIES, json={"title": "Tea", "content": "x", "on_conflict": "merge"}, headers=BOB
    )

    assert refusal(seen) == refusal(unseen) == (403, "caller does not own this memory")
    assert (seen.json()["owner"], seen.json()["caller"]) == ("alice", "bob")
    assert "owner" not in unseen.json()
    for row in (first, hidden):
        assert (await api.get(f"{MEMORIES}/{row['id']}", headers=ALICE)).json()["version"] == 1


async def test_a_text_that_only_looks_different_is_a_near_duplicate(api):
    first = await stored(api, content="Deploys run on Fridays.")
    again = {"title": "Other", "content": "deploys  run on fridays"}
    reply = await api.post(MEMORIES, json=again, headers=ALICE)
    forced = await api.post(MEMORIES, json={**again, "force": True}, headers=ALICE)
    elsewhere = await api.post(MEMORIES, json={**again, "namespace": "n"}, headers=ALICE)
    unseen = await api.post(
        MEMORIES, json={**again, "title": "Bob's", "content": "DEPLOYS run on fridays"}, headers=BOB
    )

    assert refusal(reply) == (409, "near-duplicate of existing memory in namespace 'global'")
    told = reply.json()
    assert (told["existing_id"], told["existing_title"]) == (first["id"], "Coffee")
    assert told["similarity"] == 1.0
    assert told["reason"] == "near_duplicate_with_differing_content"
    assert told["hint"] == "pass force=true to insert anyway"
    assert [one.status_code for one in (forced, elsewhere, unseen)] == [201, 201, 201]


async def test_a_text_may_be_stored_any_number_of_times_and_its_variants_are_still_found(api):
    for number in range(80):
        await stored(api, title=f"beat {number}", content="All is well.")
    reply = await api.post(MEMORIES, json={"title": "x", "content": "all is WELL"}, headers=ALICE)
    assert refusal(reply)[0] == 409


async def test_a_store_names_memories_with_a_like_title(api):
    first = await stored(api, title="Deploy window on Friday", namespace="ops")
    second = await stored(api, title="Deploy window on Monday", namespace="ops")
    lone = await stored(api, title="Lunch menu", namespace="ops")

    assert second["potential_contradictions"] == [first["id"]]
    assert "potential_contradictions" not in lone


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"title": " "}, "title cannot be empty"),
        ({"content": "a\rb"}, "content contains invalid characters"),
        ({"namespace": "a b"}, "namespace cannot contain spaces (use hyphens or underscores)"),
        ({"priority": 11}, "priority must be between 1 and 10 (got 11)"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at is in the past"),
        ({"ttl_secs": 0}, "ttl_secs must be positive (got 0)"),
        ({"on_conflict": "x"}, "invalid on_conflict 'x' (expected error|merge|version)"),
        ({"signature": "AA=="}, "signature and created_at go together: created_at is missing"),
        ({"title": "", "priority": 0}, "title cannot be empty"),
    ],
)
async def test_a_broken_rule_is_a_400_in_the_words_of_the_first_one(api, wrong, text):
    body = {"title": "t", "content": "c", **wrong}
    assert refusal(await api.post(MEMORIES, json=body)) == (400, text)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scope", "galaxy"), ("metadata", {"scope": "galaxy"}), ("kind", "rumour"), ("tier", "Mid")],
)
async def test_unknown_words_are_refused_and_name_the_known_ones(api, field, value):
    reply = await api.post(MEMORIES, json={"title": "t", "content": "c", field: value})

    assert reply.status_code == 400
    assert "must be one of" in reply.json()["error"]


@pytest.mark.parametrize(
    ("body", "text", "fields"),
    [
        (b'{"content":"c"}', "missing required field: title", ["title"]),
        (b'{"title":', "malformed JSON body", []),
        (b'{"title":"t","content":"\\ud800"}', "malformed JSON body", []),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_400_that_says_why(api, body, text, fields):
    reply = await api.post(MEMORIES, content=body, headers={"content-type": "application/json"})

    assert refusal(reply) == (400, text)
    assert reply.json()["fields"] == fields


async def test_unknown_keys_are_ignored_and_null_is_absent(api):
    body = await stored(api, scope=None, priority=None, tags=None, colour="red")

    assert (body["priority"], body["tags"]) == (5, [])


async def test_conflict_detection_without_a_model_is_said_to_be_off(api):
    body = await stored(api, detect_conflicts=True)

    assert body["warnings"] == ["detect_conflicts was ignored: no LLM is configured"]


async def test_bulk_looks_for_no_near_duplicates(api):
    texts = ("The kettle is blue.", "the kettle  is blue")
    rows = [{"title": f"t{number}", "content": text} for number, text in enumerate(texts)]

    reply = await api.post(f"{MEMORIES}/bulk", json=rows, headers=ALICE)

    assert (reply.json()["created"], reply.json()["errors"]) == (2, [])


async def test_the_daily_quota_ends_in_429(api, services, store):
    async def next_store(number):
        body = {"title": f"t{number}", "content": f"c{number}", "namespace": "q"}
        return await api.post(MEMORIES, json=body, headers=ALICE)

    rows = [{"title": f"b{n}", "content": f"c{n}", "namespace": "q"} for n in range(999)]
    assert (await api.post(f"{MEMORIES}/bulk", json=rows, headers=ALICE)).json()["created"] == 999
    assert (await next_store(0)).status_code == 201
    reply = await next_store(1)

    assert reply.status_code == 429
    body = reply.json()
    assert (body["code"], body["limit"], body["max"]) == (
        "QUOTA_EXCEEDED",
        "memories_per_day",
        1_000,
    )
    assert (body["current"], body["agent_id"]) == (1_000, "alice")


# -- identity ----------------------------------------------------------------------------------


async def test_a_claim_without_a_header_is_the_owner(api):
    body = await stored(api, headers={}, agent_id="carol")
    inline = await stored(api, headers={}, title="Tea", metadata={"agent_id": "carol"})

    assert body["agent_id"] == inline["agent_id"] == "carol"


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ({"agent_id": "bob"}, "agent_id body parameter does not match authenticated caller"),
        (
            {"metadata": {"agent_id": "bob"}},
            "metadata.agent_id does not match authenticated caller",
        ),
    ],
)
async def test_a_claim_must_agree_with_the_header(api, claim, text):
    body = {"title": "t", "content": "c", **claim}
    assert refusal(await api.post(MEMORIES, json=body, headers=ALICE)) == (403, text)


async def test_a_plain_store_can_be_read_changed_found_and_deleted_without_any_id(api):
    body = await stored(api, headers={})
    url = f"{MEMORIES}/{body['id']}"

    assert (await api.get(url)).status_code == 200
    assert (await api.put(url, json={"priority": 7})).json()["priority"] == 7
    assert (await api.get("/api/v1/search", params={"q": "black"})).json()["count"] == 1
    assert (await api.post("/api/v1/recall", json={"context": "black"})).json()["count"] == 1
    assert (await api.delete(url)).json()["deleted"] is True


async def test_per_request_owners_of_v070_belong_to_the_default_identity(api, make_api):
    old = await make_api(ApiOptions(per_request_anonymous=True))
    body = (await old.post(MEMORIES, json={"title": "t", "content": "c"})).json()
    url = f"{MEMORIES}/{body['id']}"

    assert body["agent_id"].startswith("anonymous:req-")
    assert (await old.get(url)).status_code == 404
    assert (await api.get(url)).status_code == 200
    assert (await api.delete(url)).status_code == 200


# -- attestation -------------------------------------------------------------------------------


def signed(key, body, agent_id="alice"):
    envelope = {
        "agent_id": agent_id,
        "content_sha256": sha256(body["content"].encode()).digest(),
        "created_at": body["created_at"],
        "kind": "observation",
        "namespace": "global",
        "title": body["title"],
    }
    return base64.b64encode(key.sign(cbor2.dumps(envelope))).decode()


async def bind(api, key):
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    await stored(
        api,
        namespace="_agents",
        title="agent:alice",
        tier="long",
        metadata={"agent_pubkey": public},
    )


async def test_a_signature_is_a_claim_until_a_key_is_bound_and_then_proves_the_author(api, clock):
    key = Ed25519PrivateKey.generate()
    body = {"title": "One", "content": "c1", "created_at": clock.now().isoformat()}
    claimed = await stored(api, **body, signature=signed(key, body))
    await bind(api, key)
    body = {"title": "Two", "content": "c2", "created_at": clock.now().isoformat()}
    proven = await stored(api, **body, signature=signed(key, body))

    assert claimed["metadata"]["attest_level"] == "claimed"
    assert proven["metadata"]["attest_level"] == "agent_attested"
    assert proven["created_at"] == body["created_at"]


async def test_a_wrong_or_late_signature_is_refused(api, clock):
    key = Ed25519PrivateKey.generate()
    await bind(api, key)
    body = {"title": "One", "content": "c", "created_at": clock.now().isoformat()}
    forged = {**body, "signature": signed(Ed25519PrivateKey.generate(), body)}
    late = {**body, "signature": signed(key, body)}

    replies = [await api.post(MEMORIES, json=forged, headers=ALICE)]
    clock.advance(seconds=301)
    replies.append(await api.post(MEMORIES, json=late, headers=ALICE))
    for reply in replies:
        assert reply.status_code == 403
        assert reply.json()["code"] == "ATTESTATION_FAILED"


@pytest.mark.parametrize("wrong", [{"created_at": "now"}, {"signature": "?"}, {"signature": None}])
async def test_half_a_signature_is_a_400(api, wrong):
    body = {"title": "t", "content": "c", "signature": "AA==", "created_at": "2026-06-12T09:15:02Z"}
    assert (await api.post(MEMORIES, json={**body, **wrong})).status_code == 400

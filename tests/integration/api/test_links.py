"""`/links` over HTTP: creating, removing, reading, verifying."""

from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.services.keys import KeyDirectory
from app.services.link_signing import KeyLinkSigner, LinkVerifier
from app.services.links import LinkRules
from app.store.protocol import QuotaLimits
from tests.integration.api.conftest import Api, ApiFactory

ALICE = {"X-Agent-Id": "ai:alice"}
BOB = {"X-Agent-Id": "ai:bob"}


async def stored(api: Api, title: str, agent=None, **fields):
    answer = await api.post(
        "/api/v1/memories",
        json={"title": title, "content": f"about {title}", **fields},
        headers=agent or {},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def link(api: Api, source: str, target: str, relation="related_to", agent=None):
    return await api.post(
        "/api/v1/links",
        json={"source_id": source, "target_id": target, "relation": relation},
        headers=agent or {},
    )


async def links_of(api: Api, memory_id: str, agent=None):
    answer = await api.get(f"/api/v1/links/{memory_id}", headers=agent or {})
    assert answer.status_code == 200
    return answer.json()["links"]


async def delete_link(api: Api, agent=None, **body):
    return await api.request("DELETE", "/api/v1/links", json=body, headers=agent or {})


async def test_a_link_is_shown_at_both_of_its_ends(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")

    made = await link(api, one, two, "supersedes")

    assert made.status_code == 201
    assert made.json() == {
        "linked": True,
        "attest_level": "unsigned",
        "source_id": one,
        "target_id": two,
        "relation": "supersedes",
    }
    [shown] = await links_of(api, one)
    assert await links_of(api, two) == [shown]
    assert (shown["source_id"], shown["target_id"], shown["relation"]) == (one, two, "supersedes")
    assert shown["observed_by"] == "local"
    assert shown["valid_from"] == shown["created_at"]
    assert "valid_until" not in shown
    assert "signature" not in shown


async def test_the_other_names_of_the_keys_work_and_the_relation_has_a_default(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")

    made = await api.post("/api/v1/links", json={"from": one, "to": two})
    also = await api.post(
        "/api/v1/links", json={"from": one, "to": two, "rel_type": "derives_from"}
    )

    assert made.json()["relation"] == "related_to"
    assert also.json()["relation"] == "derives_from"
    assert {each["relation"] for each in await links_of(api, one)} == {
        "related_to",
        "derives_from",
    }


async def test_linking_twice_is_fine_and_changes_nothing(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")
    await link(api, one, two)
    before = await links_of(api, one)

    again = await link(api, one, two)

    assert again.status_code == 201
    assert await links_of(api, one) == before


async def test_unknown_keys_are_refused_by_name(api: Api):
    for method in ("POST", "DELETE"):
        answer = await api.request(
            method,
            "/api/v1/links",
            json={"source_id": "a", "target_id": "b", "weight": 1, "colour": "red"},
        )
        assert answer.status_code == 400
        assert answer.json()["error"] == "unknown_field"
        assert answer.json()["fields"] == ["colour", "weight"]


async def test_unknown_relations_are_refused_with_the_six_that_exist(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")

    answer = await link(api, one, two, "likes")

    assert answer.status_code == 400
    body = answer.json()
    assert (body["error"], body["got"]) == ("invalid_relation", "likes")
    assert body["allowed"] == [
        "related_to",
        "supersedes",
        "contradicts",
        "derived_from",
        "reflects_on",
        "derives_from",
    ]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"target_id": "b"}, 422, "missing required field: source_id"),
        ({"source_id": "a"}, 422, "missing required field: target_id"),
        ({"source_id": "a", "target_id": "a"}, 400, "cannot link a memory to itself"),
        ({"source_id": "a b", "target_id": "a"}, 400, "source_id contains invalid characters"),
    ],
)
async def test_malformed_links_are_refused(api: Api, body: dict[str, str], status: int, error: str):
    answer = await api.post("/api/v1/links", json=body)

    assert answer.status_code == status
    assert answer.json()["error"] == error


async def test_a_missing_end_is_404_and_says_which(api: Api):
    one = await stored(api, "one")

    no_source = await link(api, "nobody", one)
    no_target = await link(api, one, "nobody")

    assert no_source.status_code == no_target.status_code == 404
    assert no_source.json()["error"] == "source memory not found"
    assert no_source.json()["source_id"] == "nobody"
    assert no_target.json()["error"] == "target memory not found"
    assert no_target.json()["target_id"] == "nobody"


async def test_only_the_owner_of_the_source_links_from_it(api: Api):
    hers = await stored(api, "hers", ALICE, scope="collective")
    his = await stored(api, "his", BOB)

    refused = await link(api, hers, his, agent=BOB)
    allowed = await link(api, his, hers, agent=BOB)

    assert refused.status_code == 403
    body = refused.json()
    assert body["error"] == "caller does not own this source memory"
    assert (body["owner"], body["caller"], body["source_id"]) == ("ai:alice", "ai:bob", hers)
    assert allowed.status_code == 201


async def test_memories_that_the_caller_may_not_see_are_missing_to_it(api: Api):
    hers = await stored(api, "hers", ALICE)
    his = await stored(api, "his", BOB)

    assert (await link(api, hers, his, agent=BOB)).status_code == 404
    assert (await link(api, his, hers, agent=BOB)).status_code == 404


async def test_links_to_hidden_memories_are_hidden_except_from_admins(api: Api):
    hers = await stored(api, "hers", ALICE, scope="collective")
    secret = await stored(api, "secret", ALICE)
    await link(api, hers, secret, agent=ALICE)

    assert len(await links_of(api, hers, ALICE)) == 1
    assert await links_of(api, hers, BOB) == []
    assert await links_of(api, secret, BOB) == []
    assert len(await links_of(api, hers)) == 1  # the default identity is an admin here


async def test_a_link_goes_with_its_end_and_comes_back_with_it(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")
    await link(api, one, two)

    await api.delete(f"/api/v1/memories/{two}")
    gone = await links_of(api, one)
    await api.post(f"/api/v1/archive/{two}/restore")

    assert gone == []
    assert [each["target_id"] for each in await links_of(api, one)] == [two]


async def test_a_removal_takes_one_relation_when_named_and_all_when_not(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")
    for relation in ("related_to", "supersedes", "contradicts"):
        await link(api, one, two, relation)
    ends = {"source_id": one, "target_id": two}

    first = await delete_link(api, **ends, relation="supersedes")
    left = {each["relation"] for each in await links_of(api, one)}
    rest = await delete_link(api, **ends)
    nothing = await delete_link(api, **ends)

    assert first.json() == rest.json() == {"deleted": True}
    assert left == {"related_to", "contradicts"}
    assert await links_of(api, one) == []
    assert (nothing.status_code, nothing.json()) == (200, {"deleted": False})


async def test_a_removed_link_can_be_made_again(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")
    await link(api, one, two)
    await delete_link(api, source_id=one, target_id=two)

    assert (await link(api, one, two)).status_code == 201
    assert len(await links_of(api, one)) == 1


async def test_an_owner_of_either_end_removes_a_link_and_nobody_else(api: Api):
    hers = await stored(api, "hers", ALICE, scope="collective")
    his = await stored(api, "his", BOB, scope="collective")
    await link(api, hers, his, agent=ALICE)
    ends = {"source_id": hers, "target_id": his}

    refused = await delete_link(api, {"X-Agent-Id": "ai:carol"}, **ends)
    removed = await delete_link(api, BOB, **ends)

    assert refused.status_code == 403
    body = refused.json()
    assert body["error"] == "caller does not own either endpoint of this link"
    assert (body["source_owner"], body["target_owner"]) == ("ai:alice", "ai:bob")
    assert (body["caller"], body["source_id"], body["target_id"]) == ("ai:carol", hers, his)
    assert removed.json() == {"deleted": True}


async def test_nobody_removes_links_between_memories_that_it_does_not_see(api: Api):
    one, two = await stored(api, "one", ALICE), await stored(api, "two", ALICE)
    await link(api, one, two, agent=ALICE)

    answer = await delete_link(api, BOB, source_id=one, target_id=two)

    assert (answer.status_code, answer.json()) == (200, {"deleted": False})
    assert len(await links_of(api, one, ALICE)) == 1


async def test_reflections_never_rest_on_themselves(api: Api):
    ids = [await stored(api, f"reflection {number}") for number in range(4)]
    for one, two in pairwise(ids):
        assert (await link(api, one, two, "reflects_on")).status_code == 201

    refused = await link(api, ids[-1], ids[0], "reflects_on")
    other = await link(api, ids[-1], ids[0], "related_to")

    assert refused.status_code == 409
    assert refused.json()["error"].startswith("link refused: reflection cycle: ")
    assert other.status_code == 201


async def test_links_are_counted_against_the_daily_quota(services, clock, make_api: ApiFactory):
    services.links.rules = LinkRules(QuotaLimits(None, None, links_per_day=2))
    api = await make_api()
    # Bob writes nothing but links, so his limits are the ones above.
    letter = await stored(
        api, "letter", ALICE, scope="collective", metadata={"target_agent_id": "ai:bob"}
    )
    others = [await stored(api, f"memory {one}", ALICE, scope="collective") for one in range(4)]
    await link(api, letter, others[0], agent=BOB)
    await link(api, letter, others[0], agent=BOB)  # there already: costs nothing
    await link(api, letter, others[1], agent=BOB)

    refused = await link(api, letter, others[2], agent=BOB)
    clock.advance(days=1)
    tomorrow = await link(api, letter, others[3], agent=BOB)

    assert refused.status_code == 429
    body = refused.json()
    assert (body["code"], body["limit"], body["max"]) == ("QUOTA_EXCEEDED", "links_per_day", 2)
    assert body["agent_id"] == "ai:bob"
    assert tomorrow.status_code == 201


# -- signatures ----------------------------------------------------------------------------


def enrol(directory: Path, agent_id: str) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    (directory / f"{agent_id}.pub").write_bytes(key.public_key().public_bytes_raw())
    return key


@pytest.fixture
async def signing_api(services, tmp_path: Path, make_api: ApiFactory) -> Api:
    """A node that signs its links as `daemon-a`, whose key is enrolled."""
    key = enrol(tmp_path, "daemon-a")
    services.links.signer = KeyLinkSigner("daemon-a", key)
    services.links.verifier = LinkVerifier(KeyDirectory(tmp_path))
    return await make_api()


async def verify(api: Api, agent=None, **body):
    return await api.post("/api/v1/links/verify", json=body, headers=agent or {})


async def test_a_signed_link_verifies_and_names_its_observer(signing_api: Api):
    one, two = await stored(signing_api, "one"), await stored(signing_api, "two")
    made = await link(signing_api, one, two)

    answer = await verify(signing_api, link_id=f"{one}|{two}|related_to")

    assert made.json()["attest_level"] == "self_signed"
    assert answer.status_code == 200
    assert answer.json() == {
        "verified": True,
        "attest_level": "self_signed",
        "signature_present": True,
        "observed_by": "daemon-a",
        "source_id": one,
        "target_id": two,
        "relation": "related_to",
        "findings": [],
    }


async def test_a_signature_by_another_key_does_not_verify(signing_api: Api, tmp_path: Path):
    one, two = await stored(signing_api, "one"), await stored(signing_api, "two")
    await link(signing_api, one, two)
    enrol(tmp_path, "daemon-a")  # another key under the same name

    answer = (await verify(signing_api, source_id=one)).json()

    assert (answer["verified"], answer["signature_present"]) == (False, True)
    assert answer["findings"] == ["the signature is not one of 'daemon-a' over this link"]


async def test_a_signature_of_an_observer_without_a_key_does_not_verify(
    signing_api: Api, tmp_path: Path
):
    one, two = await stored(signing_api, "one"), await stored(signing_api, "two")
    await link(signing_api, one, two)
    (tmp_path / "daemon-a.pub").unlink()

    answer = (await verify(signing_api, source_id=one, target_id=two)).json()

    assert answer["verified"] is False
    assert answer["findings"] == ["no key is enrolled for 'daemon-a'"]


async def test_an_end_of_validity_takes_the_signature_away(signing_api: Api):
    one, two = await stored(signing_api, "one"), await stored(signing_api, "two")
    await link(signing_api, one, two)
    ended = await signing_api.post(
        "/api/v1/kg/invalidate",
        json={"source_id": one, "target_id": two, "relation": "related_to"},
    )

    answer = (await verify(signing_api, source_id=one)).json()

    assert ended.status_code == 200
    assert (answer["attest_level"], answer["signature_present"]) == ("unsigned", False)


async def test_an_unsigned_link_is_verified_and_says_that_it_is_not_signed(api: Api):
    one, two = await stored(api, "one"), await stored(api, "two")
    await link(api, one, two)

    answer = (await verify(api, source_id=one)).json()

    assert (answer["verified"], answer["signature_present"]) == (True, False)
    assert answer["attest_level"] == "unsigned"


async def test_a_source_alone_means_its_oldest_link(api: Api):
    ids = [await stored(api, f"memory {number}") for number in range(3)]
    await link(api, ids[0], ids[2], "supersedes")
    await link(api, ids[0], ids[1])

    answer = (await verify(api, source_id=ids[0])).json()

    assert (answer["target_id"], answer["relation"]) == (ids[2], "supersedes")


async def test_a_link_that_is_not_there_cannot_be_verified(api: Api):
    one, hers = await stored(api, "one"), await stored(api, "hers", ALICE)
    two = await stored(api, "two", ALICE)
    await link(api, hers, two, agent=ALICE)

    assert (await verify(api, source_id=one)).json()["error"] == "not found"
    assert (await verify(api, source_id=one)).status_code == 404
    assert (await verify(api, BOB, source_id=hers)).status_code == 404


async def test_verification_needs_an_id(api: Api):
    answer = await verify(api)

    assert answer.status_code == 400
    assert answer.json()["fields"] == ["source_id", "link_id"]


async def test_a_nonce_counts_once_for_a_link(api: Api):
    ids = [await stored(api, f"memory {number}") for number in range(3)]
    await link(api, ids[0], ids[1])
    await link(api, ids[0], ids[2])

    first = await verify(api, source_id=ids[0], target_id=ids[1], verification_nonce="n")
    again = await verify(api, source_id=ids[0], target_id=ids[1], verification_nonce="n")
    other = await verify(api, source_id=ids[0], target_id=ids[2], verification_nonce="n")

    assert (first.status_code, again.status_code, other.status_code) == (200, 409, 200)
    assert again.json()["error"] == "verification replay detected"


async def test_a_nonce_can_be_required(services, make_api: ApiFactory):
    services.links.rules = LinkRules(require_nonce=True)
    api = await make_api()
    one, two = await stored(api, "one"), await stored(api, "two")
    await link(api, one, two)

    refused = await verify(api, source_id=one)

    assert refused.status_code == 400
    assert refused.json()["fields"] == ["verification_nonce"]
    assert (await verify(api, source_id=one, verification_nonce="n")).status_code == 200

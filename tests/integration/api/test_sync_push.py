"""`/sync/push`: what a v0.7.0 node sends is merged here, and says so in v0.7.0's words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.memory import Memory
from app.domain.timestamps import format_instant
from app.log.state import encode_state
from app.services.commands.sync import Push
from app.services.sync_items import checked_row
from app.store.protocol import QuotaLimits
from app.store.sql.filters import MemoryFilter
from tests.integration.api.conftest import make_sync, open_api, open_store
from tests.integration.api.sync_peer import ID, MADE_AT, PEER, push, pushed, row

COUNTS = (
    "applied",
    "deleted",
    "archived",
    "restored",
    "links_applied",
    "pendings_applied",
    "pending_decisions_applied",
    "namespace_meta_applied",
    "namespace_meta_cleared",
    "noop",
    "skipped",
    "quota_refused",
)
ANN = {"X-Agent-Id": "ai:ann"}
LATER = "2026-06-02T00:00:00+00:00"
LAST = "2026-06-03T00:00:00+00:00"


def counts(answer, **some):
    """Whether exactly these counts are not zero."""
    return {name: answer[name] for name in COUNTS if answer[name]} == some


def in_the(future=None, past=None):
    """A time from now."""
    span = timedelta(**(future or {})) - timedelta(**(past or {}))
    return format_instant(datetime.now(UTC) + span)


async def read(store, number=1) -> Memory:
    found: Memory = await store.get(ID.format(number), MemoryFilter(now=MADE_AT[:19]))
    return found


async def edited(api, content):
    """An edit by the owner of the first row."""
    return await api.put(f"/api/v1/memories/{ID.format(1)}", json={"content": content}, headers=ANN)


async def entries_of(store):
    clock = await store.clock()
    return sum(clock[origin] for origin in clock.origins())


async def test_a_row_is_stored_as_it_was_sent(api, store):
    sent = row(
        tags=["a", "b"], priority=7, access_count=3, version=4, expires_at=in_the({"days": 1})
    )
    answer = await pushed(api, sent)
    assert counts(answer, applied=1)
    assert answer["ids"] == answer["applied_ids"] == [ID.format(1)]
    assert answer["results"] == [
        {"list": "memories", "index": 0, "id": ID.format(1), "status": "new"}
    ]
    assert answer["dry_run"] is False
    assert answer["receiver_agent_id"] == "host:here"
    assert list(answer["receiver_clock"]) == ["entries"]
    found = await read(store)
    assert (found.title, found.tags, found.priority, found.access_count, found.version) == (
        "Row 1",
        ("a", "b"),
        7,
        3,
        4,
    )
    assert found.created_at == "2026-06-01T10:00:00.123456+00:00"
    assert found.owner == "ai:ann"


async def test_the_keys_of_an_answer_stand_in_their_order(api):
    reply = await push(api)
    assert list(reply.json()) == [
        *COUNTS,
        "dry_run",
        "receiver_agent_id",
        "receiver_clock",
        "ids",
        "applied_ids",
        "results",
    ]


async def test_a_row_that_comes_again_leaves_nothing(api, store):
    await pushed(api, row())
    before = await entries_of(store)
    assert counts(await pushed(api, row()), noop=1)
    assert counts(await pushed(api, row(updated_at=LATER)), noop=1)
    assert counts(await pushed(api, row(), headers={"idempotency-key": ID.format(1)}), noop=1)
    assert await entries_of(store) == before


async def test_the_idempotency_key_changes_nothing(api, store):
    """The original sends the row's id as the key of every edit of it."""
    same = {"idempotency-key": ID.format(1)}
    await pushed(api, row(), headers=same)
    await pushed(api, row(content="edited", updated_at=LATER), headers=same)
    assert (await read(store)).content == "edited"


async def test_an_older_row_never_wins(api, store):
    """W42."""
    await pushed(api, row(content="new", updated_at=LAST))
    answer = await pushed(api, row(content="old", priority=9, tags=[], updated_at=LATER))
    assert counts(answer, noop=1)
    found = await read(store)
    assert (found.content, found.priority, found.version) == ("new", 5, 1)


async def test_times_are_compared_as_instants(api, store):
    """As text `…:00Z` is later than `…:00.9Z`, and `+05:00` than the same time in UTC."""
    await pushed(api, row(content="half past", updated_at="2026-06-02T00:00:00.9Z"))
    await pushed(api, row(content="sharp", updated_at="2026-06-02T00:00:00Z"))
    assert (await read(store)).content == "half past"
    await pushed(api, row(content="east", updated_at="2026-06-02T04:00:00+05:00"))
    assert (await read(store)).content == "half past"


async def test_a_rename_and_a_move_replicate(api, store):
    """W8: the original skips both as a taken id, and counts that as success."""
    await pushed(api, row())
    answer = await pushed(api, row(title="Renamed", namespace="home", updated_at=LATER))
    assert counts(answer, applied=1)
    found = await read(store)
    assert (found.namespace, found.title, found.version) == ("home", "Renamed", 2)


async def test_two_rows_of_one_name_both_stay(api, store):
    """W9: the original merges the second into the first and forgets its id."""
    await pushed(api, row(1, title="Same"))
    await pushed(api, row(2, title="Same", content="other", updated_at=LATER, created_at=LATER))
    first, second = await read(store, 1), await read(store, 2)
    assert (first.title, first.content) == ("Same", "text 1")
    assert (second.title, second.content) == (f"Same ~{ID.format(2)[:8]}", "other")
    # The alias that it shows comes back from a peer that was told so, and is no rename.
    echo = row(2, title=second.title, content="newer", updated_at=LAST, created_at=LATER)
    await pushed(api, echo)
    await pushed(api, deletions=[ID.format(1)])
    assert (await read(store, 2)).title == "Same"


async def test_values_may_fall(api, store):
    """W10: the original keeps the greater of two priorities and confidences for ever."""
    await pushed(api, row(priority=9, confidence=0.9))
    await pushed(api, row(priority=2, confidence=0.1, updated_at=LATER))
    found = await read(store)
    assert (found.priority, found.confidence) == (2, 0.1)


async def test_the_tier_never_falls_and_the_owner_stays(api, store):
    await pushed(api, row(tier="long"))
    changed = row(tier="short", updated_at=LATER, metadata={"agent_id": "ai:eve", "scope": "team"})
    changed["expires_at"] = in_the({"days": 1})
    await pushed(api, changed)
    found = await read(store)
    assert (found.tier, found.expires_at, found.owner) == ("long", None, "ai:ann")


async def test_a_row_without_provenance_keeps_what_is_known(api, store):
    """Releases before citations send none of these keys."""
    cited = row(citations=[{"uri": "doc:x", "accessed_at": MADE_AT}], source_uri="doc:x")
    await pushed(api, cited | {"memory_kind": "claim", "confidence_source": "calibrated"})
    old = row(content="edited", updated_at=LATER)
    for key in ("citations", "memory_kind", "confidence_source", "reflection_depth", "version"):
        del old[key]
    await pushed(api, old)
    found = await read(store)
    assert (found.content, found.source_uri, found.memory_kind) == ("edited", "doc:x", "claim")
    assert found.citations
    await pushed(api, row(content="bare", updated_at=LAST))
    assert (await read(store)).source_uri is None


async def test_unknown_keys_and_scope_words_do_no_harm(api, store):
    sent = row(metadata={"agent_id": "ai:ann", "scope": "galaxy"}, cid="later", valid_from=None)
    assert counts(await pushed(api, sent, signals=[1], sender_policy_seq=4), applied=1)
    assert (await read(store)).metadata["scope"] == "galaxy"


async def test_what_was_deleted_stays_deleted(api, store):
    """W6: a peer that slept through the deletion pushes its older and its edited copy."""
    await pushed(api, row())
    assert counts(await pushed(api, deletions=[ID.format(1)]), deleted=1)
    answer = await pushed(api, row())
    assert counts(answer, noop=1)
    assert answer["results"][0]["code"] == "deleted"
    assert counts(await pushed(api, row(content="edited", updated_at=in_the())), noop=1)
    assert await read(store) is None


async def test_a_deletion_overtakes_its_row(api, store):
    assert counts(await pushed(api, deletions=[ID.format(1)]), noop=1)
    assert counts(await pushed(api, row()), noop=1)
    assert await read(store) is None


async def test_an_id_that_is_made_anew_lives(api, store, clock):
    await pushed(api, row())
    await pushed(api, deletions=[ID.format(1)])
    clock.advance(minutes=2)
    now = in_the({"minutes": 2})
    assert counts(await pushed(api, row(created_at=now, updated_at=now)), applied=1)
    assert await read(store) is not None


async def test_an_archive_overtakes_its_row(api, store):
    """The original archives nothing then, and the row stays live for ever."""
    await pushed(api, archives=[ID.format(1)])
    await pushed(api, row())
    assert await read(store) is None
    archived = await api.get("/api/v1/archive")
    assert [one["id"] for one in archived.json()["archived"]] == [ID.format(1)]


async def test_archives_and_restores(api, store):
    await pushed(api, row())
    assert counts(await pushed(api, archives=[ID.format(1)]), archived=1)
    assert counts(await pushed(api, archives=[ID.format(1)]), noop=1)
    assert await read(store) is None
    assert counts(await pushed(api, row(content="edited", updated_at=LATER)), applied=1)
    assert await read(store) is None
    assert counts(await pushed(api, restores=[ID.format(1)]), restored=1)
    assert (await read(store)).content == "edited"
    assert counts(await pushed(api, restores=[ID.format(1)]), noop=1)
    assert counts(await pushed(api, restores=[ID.format(2)]), skipped=1)


async def test_lists_are_applied_in_v070s_order(api, store):
    """A consolidation: the new row, and the deletion of its sources, in one body."""
    await pushed(api, row(1), row(2))
    answer = await pushed(
        api, row(3, title="Sum"), deletions=[ID.format(1), ID.format(2), ID.format(3)]
    )
    assert counts(answer, applied=1, deleted=3)
    assert await read(store, 3) is None


async def test_links(api, store):
    await pushed(api, row(1), row(2))
    link = {
        "source_id": ID.format(1),
        "target_id": ID.format(2),
        "relation": "derived_from",
        "created_at": MADE_AT,
    }
    answer = await pushed(api, links=[link])
    assert counts(answer, links_applied=1)
    assert answer["ids"] == [f"{ID.format(1)}→{ID.format(2)}"]
    assert counts(await pushed(api, links=[link]), noop=1)
    assert counts(await pushed(api, links=[{**link, "valid_until": LATER}]), noop=1)
    shown = await api.get(f"/api/v1/links/{ID.format(1)}")
    assert shown.json()["links"][0]["attest_level"] == "unsigned"
    bad = [{**link, "target_id": ID.format(1)}, {"source_id": "x"}, 7]
    assert counts(await pushed(api, links=bad), skipped=3)


async def test_a_link_may_come_before_its_ends(api, store):
    """The original loses it: a push that is slower than the next one is enough."""
    link = {
        "source_id": ID.format(1),
        "target_id": ID.format(2),
        "relation": "related_to",
        "created_at": MADE_AT,
    }
    await pushed(api, links=[link])
    await pushed(api, row(1), row(2))
    shown = await api.get(f"/api/v1/links/{ID.format(1)}")
    assert len(shown.json()["links"]) == 1


async def test_an_echo_of_our_own_row_and_link_changes_nothing(api, store):
    """What a v0.7.0 node got from us it sends back, the link unsigned and without `valid_from`."""
    made = []
    for title in ("Ours", "Also ours"):
        reply = await api.post(
            "/api/v1/memories", json={"title": title, "content": title, "namespace": "work"}
        )
        made.append(reply.json()["memory"])
    ids = [one["id"] for one in made]
    ends = {"source_id": ids[0], "target_id": ids[1], "relation": "supersedes"}
    assert (await api.post("/api/v1/links", json=ends)).status_code == 201
    linked = (await api.get(f"/api/v1/links/{ids[0]}")).json()["links"][0]
    before = await entries_of(store)
    echo = {**ends, "created_at": linked["created_at"]}
    assert counts(await pushed(api, *made, links=[echo]), noop=3)
    assert await entries_of(store) == before


async def test_namespace_standards(api, store):
    """W33: the original takes its own clock and the last arrival."""
    meta = {"namespace": "work", "standard_id": ID.format(1), "updated_at": LATER}
    answer = await pushed(api, row(1), row(2), namespace_meta=[meta])
    assert counts(answer, applied=2, namespace_meta_applied=1)
    older = {**meta, "standard_id": ID.format(2), "updated_at": MADE_AT}
    assert counts(await pushed(api, namespace_meta=[older]), noop=1)
    assert counts(await pushed(api, namespace_meta=[meta]), noop=1)
    assert await store.namespaces_led_by([ID.format(1)]) == ["work"]
    assert counts(await pushed(api, namespace_meta_clears=["work"]), namespace_meta_cleared=1)
    assert counts(await pushed(api, namespace_meta_clears=["work"]), noop=1)
    # A set that was overtaken by the clear does not come back.
    assert counts(await pushed(api, namespace_meta=[meta]), noop=1)
    assert await store.namespaces_led_by([ID.format(1)]) == []


async def test_a_deleted_standard_leads_no_namespace(api, store):
    meta = {"namespace": "work", "standard_id": ID.format(1), "updated_at": LATER}
    await pushed(api, row(1), namespace_meta=[meta])
    await pushed(api, deletions=[ID.format(1)])
    assert await store.namespaces_led_by([ID.format(1)]) == []


async def test_governance_is_kept(api, store):
    pending = {
        "id": "pending-1",
        "action_type": "store",
        "namespace": "work",
        "payload": {"title": "T", "content": "C"},
        "requested_by": "ai:ann",
        "requested_at": MADE_AT,
        "status": "pending",
        "approvals": [{"agent_id": "ai:bob", "approved_at": LATER}],
    }
    assert counts(await pushed(api, pendings=[pending]), pendings_applied=1)
    assert counts(await pushed(api, pendings=[pending]), noop=1)
    yes = {"id": "pending-1", "approved": True, "decider": "ai:bob"}
    assert counts(await pushed(api, pending_decisions=[yes]), pending_decisions_applied=1)
    assert counts(await pushed(api, pending_decisions=[yes]), noop=1)
    # A rejection elsewhere wins, whatever came first; then it stands.
    no = {**yes, "approved": False, "decider": "ai:cid"}
    assert counts(await pushed(api, pending_decisions=[no]), pending_decisions_applied=1)
    assert counts(await pushed(api, pending_decisions=[yes]), noop=1)
    assert counts(await pushed(api, pendings=[{"id": "x"}], pending_decisions=[1]), skipped=2)


async def test_a_dry_run_writes_nothing_and_says_what_would_happen(api, store):
    """W42: the counts are v0.7.0's, the results are those of the real merge."""
    await pushed(api, row(1), row(2))
    before = await entries_of(store)
    answer = await pushed(
        api,
        row(1),
        row(2, content="edited", updated_at=LATER),
        row(3),
        row(4, title=""),
        deletions=[ID.format(1)],
        dry_run=True,
    )
    assert counts(answer, noop=4, skipped=1)
    assert answer["dry_run"] is True
    assert answer["applied_ids"] == []
    found = [(one["list"], one["status"]) for one in answer["results"]]
    assert found == [
        ("memories", "noop"),
        ("memories", "updated"),
        ("memories", "new"),
        ("memories", "skipped"),
        ("deletions", "updated"),
    ]
    assert await entries_of(store) == before
    assert (await read(store, 2)).content == "text 2"


async def test_a_row_of_the_far_future_is_refused_and_poisons_nothing(api, store):
    """W4."""
    ahead = row(2, updated_at=in_the({"days": 3650}))
    answer = await pushed(api, row(1), ahead)
    assert counts(answer, applied=1, skipped=1)
    assert answer["results"][1]["code"] == "future_stamp"
    assert ID.format(2) not in answer["ids"]
    # The clock did not follow: an edit that is made now is stamped now.
    reply = await api.put(
        f"/api/v1/memories/{ID.format(1)}", json={"content": "edited"}, headers=ANN
    )
    assert reply.status_code == 200
    state = await store.snapshot(ID.format(1))
    assert state.cells["body"].stamp.hlc >> 16 < (datetime.now(UTC).timestamp() + 61) * 1000


async def test_an_edit_wins_over_a_row_whose_clock_was_ahead(api, store):
    """W5: what was seen before an edit never beats it, though the peer's clock runs fast."""
    await pushed(api, row(updated_at=in_the({"seconds": 50})))
    await edited(api, "edited here")
    assert (await read(store)).content == "edited here"


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""},
        {"content": "x" * 65_537},
        {"namespace": "a b"},
        {"priority": 11},
        {"confidence": 1.5},
        {"tier": "eternal"},
        {"source": "martian"},
        {"updated_at": "yesterday"},
        {"id": "no/id"},
        {"metadata": {"agent_id": "no id"}},
        {"citations": [{"uri": "ftp://x"}]},
        {"tags": [""]},
    ],
)
async def test_an_invalid_row_is_skipped_alone(api, store, wrong):
    answer = await pushed(api, row(1), row(2, **wrong), row(3))
    assert counts(answer, applied=2, skipped=1)
    assert answer["results"][1]["code"] == "invalid"


@pytest.mark.parametrize("item", [None, 7, "row", [], {}, {"id": ID.format(2)}])
async def test_an_unreadable_row_is_skipped_alone(api, item):
    answer = await pushed(api, row(1), item)
    assert counts(answer, applied=1, skipped=1)
    assert answer["results"][1]["code"] == "malformed"


async def test_what_is_refused_is_no_ack(api):
    """W14: a sender that looks for its id among `ids` learns that its row is not here."""
    bad = row(2, title="")
    answer = await pushed(api, bad, headers={"idempotency-key": ID.format(2)})
    assert answer["ids"] == []
    link = {"source_id": ID.format(1), "target_id": ID.format(3), "relation": "related_to"}
    key = f"{ID.format(1)}→{ID.format(3)}"
    link["created_at"] = MADE_AT
    answer = await pushed(api, links=[link], headers={"idempotency-key": "its-own-key"})
    assert answer["ids"] == [key, "its-own-key"]


@pytest.mark.parametrize(
    "name",
    [
        "memories",
        "deletions",
        "archives",
        "restores",
        "pendings",
        "pending_decisions",
        "namespace_meta",
        "namespace_meta_clears",
    ],
)
async def test_lists_are_limited(api, name):
    lists = {"memories": [], name: ["x"] * 1_001}
    reply = await api.post(
        "/api/v1/sync/push",
        json={"sender_agent_id": PEER, **lists},
        headers={"x-peer-id": PEER},
    )
    assert reply.status_code == 400
    assert reply.json()["error"] == f"sync_push limited to 1000 {name} per request"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"sender_agent_id": "a"}',
        b'{"memories": []}',
        b'{"sender_agent_id": 5, "memories": []}',
        b'{"sender_agent_id": "host:old-node", "memories": {}}',
        b'{"sender_agent_id": "host:old-node", "memories": [], "deletions": [7]}',
        b'{"sender_agent_id": "host:old-node", "memories": [], "deletions": ["no/id"]}',
        b'{"sender_agent_id": "host:old-node", "memories": [], "archives": [""]}',
        b'{"sender_agent_id": "host:old-node", "memories": [], "namespace_meta_clears": ["a b"]}',
        b'{"sender_agent_id": "not an id", "memories": []}',
        b'{"sender_agent_id": "host:old-node", "memories": [], "dry_run": "yes"}',
        b'{"sender_agent_id": "host:old-node", "memories": ' + b"[" * 5_000,
    ],
)
async def test_garbage_is_a_400(api, store, body):
    headers = {"x-peer-id": PEER, "content-type": "application/json"}
    reply = await api.post("/api/v1/sync/push", content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert await entries_of(store) == 0


async def test_a_large_push_is_taken(api, store):
    """W19: 200 rows of 60 KiB are six times what the original's router takes."""
    rows = [
        row(1, id=f"big-{number}", title=f"Big {number}", content="x" * 60_000)
        for number in range(200)
    ]
    assert counts(await pushed(api, *rows), applied=200)


async def test_a_quota_ends_a_push(services, store, clock):
    """v0.7.0's 429: what came before stands, nothing after it does."""
    sync = make_sync(store, clock, limits=QuotaLimits(2, None, None))
    async with open_api(replace(services, sync=sync)) as api:
        await pushed(api, row(1))
        assert counts(await pushed(api, row(1), row(1, updated_at=LATER)), noop=2)
        reply = await push(api, row(1), row(2), row(3), row(4), deletions=[ID.format(1)])
        assert reply.status_code == 429
        answer = reply.json()
        assert {name: answer[name] for name in ("error", "limit", "max", "agent_id")} == {
            "error": "QUOTA_EXCEEDED",
            "limit": "memories_per_day",
            "max": 2,
            "agent_id": "ai:ann",
        }
        assert (answer["applied_before_refusal"], answer["quota_refused"]) == (1, 2)
        assert reply.headers["x-quota-limit"] == "memories_per_day"
        assert reply.headers["x-quota-reset-at"] == answer["reset_at"]
        assert answer["reset_at"].endswith("T00:00:00.000000+00:00")
    assert await read(store, 1) is not None
    assert await read(store, 2) is not None
    assert await read(store, 3) is None


async def test_the_same_rows_make_the_same_states_on_every_node(api, store, tmp_path, clock):
    """Two nodes that receive one row, in one order or another, hold the same bytes."""
    other = open_store(tmp_path / "other.db", clock)
    sync = make_sync(other, clock)
    versions = [
        row(content="one"),
        row(content="two", tags=[], updated_at=LATER, version=2),
        row(content="three", title="Renamed", priority=1, updated_at=LAST, version=3),
    ]
    for version in versions:
        await pushed(api, version)
    for version in reversed(versions):
        await sync.receive(Push(PEER, memories=[checked_row(version)]))
    await give(store, other)
    await give(other, store)
    mine, theirs = [await one.snapshot(ID.format(1)) for one in (store, other)]
    assert mine is not None
    assert theirs is not None
    assert mine.memory.content == "three"
    assert encode_state(mine.cells) == encode_state(theirs.cells)
    assert await store.digests() == await other.digests()
    await other.close()


async def give(source, target):
    """Everything that one node has, to another one."""
    clock = await source.clock()
    for origin in clock.origins():
        entries = await source.log_after(origin, 0, 100)
        outcome = await target.append_foreign(entries)
        assert outcome.refused == []


async def test_a_purged_row_leaves_no_content_in_the_log(api, store):
    await pushed(api, row(content="secret"))
    await pushed(api, archives=[ID.format(1)])
    reply = await api.delete("/api/v1/archive", params={"older_than_days": 0})
    assert reply.status_code == 200, reply.text
    clock = await store.clock()
    entries = [e for o in clock.origins() for e in await store.log_after(o, 0, 100)]
    assert not any(e.payload and b"secret" in e.payload for e in entries)
    assert counts(await pushed(api, row()), noop=1)

"""`/sync/since`: rows by time, none lost, each to those who may have it."""

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from app.replication.attestation import parse_attestation
from app.replication.v070.gate import GateRules
from tests.integration.api.conftest import make_sync, open_api
from tests.integration.api.sync_peer import ID, PEER, pushed, row, since

SHARED = {"agent_id": "ai:ann", "federation_share": True}
TRUSTING = GateRules(sync_trust_peer=True, trust_body_agent_id=True)


@pytest.fixture
async def make_wire(services, store, clock):
    async with AsyncExitStack() as opened:

        async def make(rules=TRUSTING):
            sync = make_sync(store, clock, rules)
            return await opened.enter_async_context(open_api(replace(services, sync=sync)))

        yield make


@pytest.fixture
async def wire(make_wire):
    return await make_wire()


def at(second, **fields):
    number = fields.pop("number", second)
    time = f"2026-06-01T10:00:{second:02}+00:00"
    return row(number, created_at=time, updated_at=time, metadata=SHARED, **fields)


def ids(answer):
    return [one["id"] for one in answer["memories"]]


async def everything(api, limit, **params):
    """Page after page as a v0.7.0 node reads: its cursor is the last row's own text."""
    found, cursor = [], None
    for _ in range(100):
        asked = {"limit": limit, **params} | ({} if cursor is None else {"since": cursor})
        answer = await since(api, **asked)
        found += ids(answer)
        if not answer["memories"]:
            return found
        cursor = answer["latest_updated_at"]
    raise AssertionError("the cursor does not move")


async def test_the_keys_of_a_page(wire):
    await pushed(wire, at(1), at(2))
    answer = await since(wire, since="2026-06-01T10:00:01Z", peer="node-c")
    assert list(answer) == [
        "count",
        "limit",
        "updated_since",
        "earliest_updated_at",
        "latest_updated_at",
        "memories",
        "excluded_for_scope",
        "excluded_for_scope_private",
        "scope_status",
        "next_since",
    ]
    assert ids(answer) == [ID.format(2)]
    assert (answer["count"], answer["limit"]) == (1, 500)
    assert answer["updated_since"] == "2026-06-01T10:00:01Z"
    assert answer["earliest_updated_at"] == answer["latest_updated_at"] == answer["next_since"]
    assert answer["scope_status"] == "legacy_bypass"
    empty = await since(wire, since=answer["next_since"])
    assert (empty["count"], empty["earliest_updated_at"]) == (0, None)
    assert empty["next_since"] == answer["next_since"]


async def test_rows_of_one_time_come_together(wire):
    """W1: the original cuts a page inside of them, and skips the rest for good."""
    rows = [at(1, number=number) for number in range(10, 40)]
    await pushed(wire, at(0), *rows, at(2))
    answer = await since(wire, limit=5)
    assert answer["count"] == 31
    assert sorted(await everything(wire, 5)) == sorted(
        [ID.format(0), ID.format(2), *(ID.format(number) for number in range(10, 40))]
    )


async def test_every_page_size_finds_every_row(wire):
    rows = [at(number // 3, number=number) for number in range(10, 40)]
    await pushed(wire, *rows)
    for limit in (1, 2, 3, 7, 100):
        assert sorted(await everything(wire, limit)) == sorted(one["id"] for one in rows)


async def test_since_is_an_instant(wire):
    await pushed(wire, at(1), at(2))
    for text in (
        "2026-06-01T10:00:01Z",
        "2026-06-01T10:00:01.000+00:00",
        "2026-06-01T15:00:01+05:00",
        "2026-06-01t10:00:01.0000001z",
        "2026-06-01T10:00:01 00:00",  # a plus that nobody escaped
    ):
        assert ids(await since(wire, since=text)) == [ID.format(2)]
    assert len(ids(await since(wire, since=""))) == 2


async def test_limits(wire):
    await pushed(wire, at(1), at(2), at(3))
    assert (await since(wire, limit=0))["memories"] == []
    assert (await since(wire, limit=99_999))["limit"] == 10_000
    assert ids(await since(wire, limit=2)) == [ID.format(1), ID.format(2)]


@pytest.mark.parametrize("params", [{"since": "yesterday"}, {"limit": -1}, {"limit": "many"}])
async def test_bad_parameters_are_a_400(wire, params):
    assert (await wire.get("/api/v1/sync/since", params=params)).status_code == 400


async def test_only_live_rows_are_served(wire):
    await pushed(wire, at(1), at(2), at(3), at(4, expires_at="2026-06-02T00:00:00Z"))
    await pushed(wire, deletions=[ID.format(1)], archives=[ID.format(2)])
    assert ids(await since(wire)) == [ID.format(3)]


async def test_a_pull_leaves_nothing_behind(wire, store):
    """W34: the original notes what it served as if it had received it."""
    await pushed(wire, at(1))
    await since(wire, peer="node-c")
    position = await store.sync_position("host:here", "node-c")
    assert (position.pulled_to, position.pulled_at, position.pushed_to) == (None, None, None)
    assert (await store.sync_position("host:here", PEER)).pulled_to is None


# -- who may have what -----------------------------------------------------------------------


async def test_a_peer_without_a_grant_gets_nothing(make_wire):
    wire = await make_wire(GateRules(trust_body_agent_id=True))
    await pushed(wire, at(1))
    answer = await since(wire)
    assert (answer["count"], answer["scope_status"]) == (0, "no_allowlist_default_deny")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host:old-node": {"allowed": []}}'])
async def test_a_grant_that_cannot_be_read_grants_nothing(make_wire, text):
    rules = GateRules(trust_body_agent_id=True, attestation=parse_attestation(text))
    wire = await make_wire(rules)
    await pushed(wire, at(1))
    assert (await since(wire))["count"] == 0


async def test_a_peer_gets_what_its_namespaces_hold(make_wire):
    granted = '{"host:old-node": {"allowed_namespaces": ["work", "team/*", "deep/**"]}}'
    free = await make_wire()
    wire = await make_wire(GateRules(attestation=parse_attestation(granted)))
    places = ["work", "work/inner", "team/a", "team/a/b", "deep/a/b", "home"]
    await pushed(free, *(at(n, namespace=place) for n, place in enumerate(places)))
    reply = await wire.get("/api/v1/sync/since", headers={"x-peer-id": PEER})
    answer = reply.json()
    assert [one["namespace"] for one in answer["memories"]] == ["work", "team/a", "deep/a/b"]
    assert (answer["scope_status"], answer["excluded_for_scope"]) == ("scoped", 3)
    other = await wire.get("/api/v1/sync/since", headers={"x-peer-id": "host:other"})
    assert other.json()["scope_status"] == "no_allowlist_default_deny"


async def test_hidden_rows_do_not_stop_a_cursor(make_wire):
    """The original answers an empty page of them, and the puller asks for it for ever."""
    granted = '{"host:old-node": {"allowed_namespaces": ["work"]}}'
    free = await make_wire()
    wire = await make_wire(GateRules(attestation=parse_attestation(granted)))
    hidden = [at(n // 4, number=n, namespace="home") for n in range(10, 60)]
    await pushed(free, *hidden, at(30, number=90))
    headers = {"x-peer-id": PEER}
    reply = await wire.get("/api/v1/sync/since", params={"limit": 5}, headers=headers)
    assert ids(reply.json()) == [ID.format(90)]
    assert reply.json()["excluded_for_scope"] == 50
    await pushed(free, at(40, number=91, namespace="home"))
    reply = await wire.get(
        "/api/v1/sync/since", params={"since": "2026-06-01T10:00:31Z"}, headers=headers
    )
    assert reply.json()["memories"] == []
    assert reply.json()["next_since"] == "2026-06-01T10:00:40.000000+00:00"


async def test_private_rows_travel_to_their_owner_or_when_shared(wire):
    private = {"agent_id": "ai:ann"}
    await pushed(
        wire,
        at(1) | {"metadata": private},
        at(2) | {"metadata": private | {"federation_share": "yes"}},
        at(3) | {"metadata": private | {"federation_share": True}},
        at(4) | {"metadata": private | {"scope": "team"}},
        at(5) | {"metadata": {"agent_id": "ai:bob", "target_agent_id": "ai:ann"}},
    )
    answer = await since(wire)
    assert ids(answer) == [ID.format(3), ID.format(4)]
    assert answer["excluded_for_scope_private"] == 3
    reply = await wire.get("/api/v1/sync/since", headers={"X-Agent-Id": "ai:ann"})
    assert len(ids(reply.json())) == 5

"""Nothing is missed, whoever was away: weaknesses W1 to W20 of the original."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.domain.errors import StoreUnavailableError
from app.log.entry import Draft
from app.log.kinds import KINDS
from app.replication.messages import Method
from app.replication.ports import Failure, PeerCallError
from app.store.protocol import View
from tests.contract.store.conftest import Change, Say, delete, purge
from tests.unit.log.strategies import IDS, PAYLOADS
from tests.unit.replication.cluster import Call, Cluster, hours, settle
from tests.unit.replication.virtual_time import virtual


@virtual
async def test_w1_rows_of_one_instant_all_arrive(cluster: Cluster):
    a, b = await cluster.full("ab", writes=1)
    await b.stop()
    await a.write_many(1_000)  # one transaction, one timestamp
    await b.start()
    await cluster.converge()
    assert sum((await b.clocks()).values()) == 1_000


@virtual
async def test_w2_a_row_that_arrives_late_is_handed_on(cluster: Cluster):
    a = cluster.add("a", ["b"])
    b = cluster.add("b", ["a", "c"])
    c = cluster.add("c", ["b"])
    for node in (a, b, c):
        await node.start()
    cluster.network.delays["a", "b"] = 1.5
    await a.write()
    for _ in range(10):  # c has newer rows from b long before the older one of a comes by
        await b.write()
        await settle(0.2)
    await cluster.converge()
    assert await c.shown("a-1") is not None


@virtual
async def test_w3_a_receiver_that_cannot_write_loses_nothing(cluster: Cluster):
    a, b = await cluster.full("ab")
    taken = b.store.append_foreign

    async def busy(*_: object, **__: object) -> None:
        raise StoreUnavailableError("the disk is busy", retry_after_seconds=1)

    b.store.append_foreign = busy  # type: ignore[method-assign,assignment] # a disk fault
    await a.write_many(50)
    await settle(5)
    assert await b.clocks() == {}
    b.store.append_foreign = taken  # type: ignore[method-assign]
    await cluster.converge()
    assert sum((await b.clocks()).values()) == 50


@virtual
async def test_w4_a_row_of_the_far_future_stops_nothing(cluster: Cluster):
    a, b = await cluster.full("ab")
    a.clock.skew = hours(10 * 365 * 24)
    await a.write(a.row(title="from 2036"))
    a.clock.skew = hours(0)
    for _ in range(100):
        await b.write()
    assert await cluster.meet(within=5) < 1
    assert await a.shown("b-100") is not None
    status = await b.running.status()
    assert status.quarantine_codes == {"future_stamp": 1}
    assert sum((await a.clocks()).values()) == 101


@virtual
async def test_w5_whoever_edits_what_he_has_seen_wins_though_his_clock_is_behind(
    cluster: Cluster,
):
    a, b = await cluster.full("ab")
    b.clock.skew = timedelta(seconds=-50)
    await a.write()
    await cluster.converge()
    await b.submit(Change("a-1", {"content": "b has read it and knows better"}))
    await cluster.converge()
    for node in (a, b):
        found = await node.shown("a-1")
        assert found is not None
        assert found.content == "b has read it and knows better"
    lost = await a.store.log_run(b.store.identity.origin, 0, 100_000)
    assert lost is not None
    assert len(lost.entries) == 1


@virtual
async def test_how_far_ahead_an_entry_may_be_is_the_operators_to_say(cluster: Cluster):
    a = cluster.add("a", ["b", "c"])
    b = cluster.add("b", ["a", "c"], max_offset_ms=5_000)
    c = cluster.add("c", ["a", "b"], max_offset_ms=300_000)
    for node in (a, b, c):
        await node.start()
    a.clock.skew = hours(1 / 30)  # two minutes
    await a.write()
    a.clock.skew = hours(0)
    await cluster.meet()
    assert await c.shown("a-1") is not None
    assert await b.shown("a-1") is None
    # Tolerating less from now on makes it wait longer, not for good.
    await b.stop()
    b.options = replace(b.options, max_offset_ms=1_000)
    await b.start()
    (waiting,) = await b.store.quarantined(9)
    await settle(115)
    assert await b.store.retry_quarantine() == 0
    await settle(5)
    assert await b.store.retry_quarantine() >= 1  # with what else a has written since
    assert await b.shown("a-1") is not None
    assert waiting.code == "future_stamp"


@virtual
async def test_w6_what_was_deleted_while_a_node_was_away_stays_deleted(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await a.write()
    await cluster.converge()
    await c.stop()
    await a.submit(delete("a-1"))
    await cluster.converge()
    c.options = cluster.options("c", [])  # alone, it goes on with its old copy
    await c.start()
    await c.submit(Change("a-1", {"content": "edited in the dark"}))
    await c.stop()
    c.options = cluster.options("c", ["a", "b"])
    await c.start()
    await cluster.converge()
    for node in (a, b, c):
        assert await node.shown("a-1") is None


@virtual
async def test_w8_a_rename_travels(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write()
    await a.submit(Change("a-1", {"title": "another title", "namespace": "elsewhere"}))
    await cluster.converge()
    found = await b.shown("a-1")
    assert found is not None
    assert (found.title, found.namespace) == ("another title", "elsewhere")


@virtual
async def test_w9_one_name_given_on_two_sides_keeps_both_rows_everywhere(cluster: Cluster):
    a, b = await cluster.full("ab")
    cluster.network.part(["a"], ["b"])
    await a.write(a.row(title="the plan"))
    await b.write(b.row(title="the plan"))
    await settle(3)
    cluster.network.heal()
    await cluster.converge()
    await b.submit(delete("a-1"))
    await cluster.converge()
    for node in (a, b):
        assert await node.shown("a-1") is None
        found = await node.shown("b-1")
        assert found is not None
        assert found.title == "the plan"


@virtual
async def test_w10_what_was_lowered_stays_low_everywhere(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write(a.row(priority=9, confidence=0.9))
    await cluster.converge()
    cluster.network.part(["a"], ["b"])
    await b.submit(Change("a-1", {"priority": 2, "confidence": 0.25}))
    await a.submit(Change("a-1", {"content": "another change, at the same time"}))
    cluster.network.heal()
    await cluster.converge()
    for node in (a, b):
        found = await node.shown("a-1")
        assert found is not None
        assert (found.priority, found.confidence) == (2, 0.25)
        assert found.content == "another change, at the same time"


# A purge blanks what entries say of its ids, and with it what they say of others: a node that was
# away has that from the comparison of digests, not from the log.
kinds = st.sampled_from(sorted(set(KINDS) - {"purge"}))
drafts_of_every_kind = kinds.flatmap(
    lambda kind: PAYLOADS[kind].map(lambda payload: Draft(kind, "alice", IDS, payload))
).filter(lambda draft: "purged" not in repr(draft.payload))


def _as_is(draft: Draft, _: View) -> Draft:
    return draft


@given(
    here=st.lists(drafts_of_every_kind, min_size=1, max_size=8),
    there=st.lists(drafts_of_every_kind, min_size=1, max_size=8),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
def test_w11_entries_of_every_kind_heal(here: list[Draft], there: list[Draft]):
    @virtual
    async def run(cluster: Cluster) -> None:
        a, b, _ = await cluster.full("abc")
        cluster.network.part(["a"], ["b", "c"])
        for node, made in ((a, here), (b, there)):
            for draft in made:
                await node.submit(Say(partial(_as_is, draft)))
        await settle(3)
        cluster.network.heal()
        await cluster.converge()

    with TemporaryDirectory() as folder:
        run(cluster=Cluster(Path(folder)))


@virtual
async def test_w11_a_purge_travels(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    for _ in range(2):
        await a.write()
    await cluster.converge()
    await c.stop()
    await a.submit(purge("a-1"))
    await c.start()
    await cluster.converge()
    for node in (a, b, c):
        assert await node.shown("a-1") is None
        assert await node.shown("a-2") is not None
        (entry,) = await node.store.log_after(a.running.here.origin, 0, 1)
        assert entry.payload is None


@virtual
async def test_w12_pushes_leave_a_cursor_a_node(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await a.write_many(300)
    for _ in range(20):
        await a.write()
        await settle(0.01)
    await cluster.converge()
    await settle(40)
    assert sorted(await b.store.member_cursors()) == sorted(
        node.running.here.node_id for node in (a, c)
    )
    assert len(await b.store.heads()) == 2  # its own and that of a; c never wrote


@virtual
async def test_w16_a_peer_that_was_away_costs_no_storage_and_gets_nothing_twice(cluster: Cluster):
    nodes = await cluster.full("abcdef")
    await nodes[5].stop()
    for _ in range(10):
        for node in nodes[:5]:
            await node.write()
        await settle(0.02)
    await settle(10)
    await nodes[5].start()
    await cluster.converge()
    await settle(10)
    assert [node.running.receiver.counts.known for node in nodes] == [0] * 6


@virtual
async def test_w18_a_node_far_behind_catches_up_from_all_sides_without_pause(cluster: Cluster):
    a, b, c, d = await cluster.full("abcd", batch_bytes=8_192)
    await d.stop()
    for node in (a, b, c):
        await node.write_many(1_000)
    await cluster.converge()
    await a.kill()  # its entries can only come from others now
    await d.start()
    assert await cluster.converge() < 5
    assert sum((await d.clocks()).values()) == 3_000
    pulls = [cluster.network.calls["d", other, Method.LOG] for other in "bc"]
    assert sum(pulls) >= 1


@virtual
async def test_w19_large_rows_are_split_until_they_pass(cluster: Cluster):
    a, b = await cluster.full("ab", batch_bytes=1 << 20)
    limit = 200_000

    def too_large(call: Call) -> PeerCallError | None:
        return PeerCallError(Failure.TOO_LARGE, "413") if len(call.body) > limit else None

    cluster.network.before = too_large
    await a.write_many(50, content="x" * 60_000)
    await cluster.converge()
    assert sum((await b.clocks()).values()) == 50


@virtual
async def test_a_row_that_no_peer_takes_is_shown_and_holds_up_its_lane_alone(cluster: Cluster):
    a, b, c = await cluster.full("abc")

    def too_large(call: Call) -> PeerCallError | None:
        if call.target == "b" and len(call.body) > 50_000:
            return PeerCallError(Failure.TOO_LARGE, "413")
        return None

    cluster.network.before = too_large
    await a.write(a.row(content="x" * 60_000))
    await settle(3)
    assert sum((await c.clocks()).values()) == 1
    status = await a.running.status()
    assert [(one.state, one.failure) for one in status.peers] == [
        ("refusing", "refused"),
        ("up", None),
    ]
    assert "too large" in (status.peers[0].detail or "")
    assert b.mesh is not None


@virtual
async def test_w20_a_push_is_taken_whole_or_not_at_all(cluster: Cluster):
    a, b = await cluster.full("ab", batch_bytes=4_096)
    await b.stop()
    await a.write_many(200)
    second = asyncio.Event()

    def note(call: Call) -> None:
        if call.method is Method.APPEND and cluster.network.calls["a", "b", Method.APPEND] > 2:
            second.set()

    cluster.network.calls.clear()
    cluster.network.before = note
    await b.start()
    await second.wait()
    await b.kill()  # between two batches, and before the ack of one is out
    assert 0 < sum((await b.start()).running.here.clock.values()) < 200
    await cluster.converge()
    assert b.running.receiver.counts.known == 0


@virtual
async def test_an_origin_whose_node_is_gone_comes_from_others(cluster: Cluster):
    a, _, c = await cluster.full("abc")
    cluster.network.part(["a"], ["c"])
    await a.write()
    await settle(0.2)
    await a.kill()
    await cluster.converge(within=5)
    assert await c.shown("a-1") is not None


@virtual
async def test_one_way_silence_is_got_round(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    cluster.network.cut.add(("a", "c"))  # a's calls to c are lost, and so are its answers
    await a.write()
    await cluster.converge(within=20)
    assert await c.shown("a-1") is not None
    assert b.mesh is not None


@virtual
async def test_pulling_can_be_turned_off(cluster: Cluster):
    a = cluster.add("a", ["b"])
    b = cluster.add("b", ["a", "c"])
    c = cluster.add("c", ["b"], catchup_seconds=0.0)
    for node in (a, b, c):
        await node.start()
    await a.write()
    await settle(40)
    assert await c.clocks() == {}


@virtual
async def test_a_lossy_and_slow_network_only_takes_longer(cluster: Cluster):
    nodes = await cluster.full("abcd")
    cluster.network.lost = 0.3
    cluster.network.doubled = 0.2
    cluster.network.delay = (0.001, 0.3)
    for _ in range(20):
        for node in nodes:
            await node.write()
        await settle(0.1)
    cluster.network.lost = 0.0
    await cluster.converge(within=60)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_repeats_itself(seed: int, tmp_path: Path):
    traces: list[list[tuple[str, str, str, bytes]]] = []
    for turn in range(2):
        trace: list[tuple[str, str, str, bytes]] = []

        @virtual
        async def run(cluster: Cluster, trace: list[tuple[str, str, str, bytes]] = trace) -> None:
            def note(call: Call) -> None:
                trace.append((call.source, call.target, call.method, call.body))

            cluster.network.before = note
            cluster.network.lost = 0.2
            nodes = await cluster.full("abc")
            for _ in range(5):
                for node in nodes:
                    await node.write()
                await settle(0.1)
            await cluster.converge()

        run(cluster=Cluster(tmp_path / str(turn), seed))
        traces.append(trace)
    assert traces[0] == traces[1]
    assert len(traces[0]) > 10

"""What monitoring and an operator's shell read of the mesh."""

import asyncio
from types import SimpleNamespace
from typing import cast

import msgspec

from app.api.controllers.federation import FederationController, FederationStatusBody
from app.cli.commands.federation import _text
from app.observability.metrics import Metrics
from app.services.bundle import Services
from app.services.federation import FederationService
from tests.unit.replication.cluster import Cluster, Node, hours, settle
from tests.unit.replication.test_comparing import ROUND, change_unsaid, lose
from tests.unit.replication.virtual_time import virtual


class Surface:
    """A node's numbers and status, as they leave it."""

    def __init__(self, node: Node) -> None:
        self._metrics = Metrics()
        self._service = FederationService(node.store, self._metrics)
        met = asyncio.get_running_loop().create_future()
        met.set_result(None)
        self._service.join(node.running, met)  # type: ignore[arg-type] # a task that is done

    async def series(self) -> dict[str, float]:
        await self._service.refresh_gauges()
        lines = self._metrics.render().decode().splitlines()
        values = (one.rsplit(" ", 1) for one in lines if not one.startswith("#"))
        return {name.removeprefix("ai_memory_"): float(value) for name, value in values}

    async def body(self) -> FederationStatusBody:
        services = cast("Services", SimpleNamespace(federation=self._service))
        found: FederationStatusBody = await FederationController.status.fn(None, services)
        return found

    async def text(self) -> str:
        return _text(msgspec.to_builtins(await self.body()))


@virtual
async def test_repairs_are_counted_and_told(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write_many(20)
    await cluster.converge()
    await lose(b, "a-7")
    surface = Surface(b)
    assert (await surface.series())["replication_repaired_rows_total"] == 0
    assert "repaired" not in await surface.text()
    for _ in range(2):
        await settle(2 * ROUND)
        series = await surface.series()
        assert series["replication_repairs_total"] == 1
        assert series["replication_repaired_rows_total"] == 1
        assert series["replication_repaired_buckets_total"] == 1
        assert series["replication_snapshots_total"] == 0
        assert series['digest_mismatch{peer="host:a"}'] == 0
    told = await surface.text()
    assert "repaired by comparing: 1 states in 1 buckets, 1 times" in told
    (row,) = [line for line in told.splitlines() if line.startswith("host:a ")]
    assert row.split()[:4] == ["host:a", "up", "0", "equal"]


@virtual
async def test_states_that_differ_show(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write_many(5)
    await cluster.converge()
    await change_unsaid(a, "a-2")
    await settle(ROUND)
    surface = Surface(a)  # what it lacks it takes; what it alone has the others take
    assert (await surface.series())['digest_mismatch{peer="host:b"}'] == 1
    assert "differ" in await surface.text()
    await settle(ROUND)
    assert (await surface.series())['digest_mismatch{peer="host:b"}'] == 0
    assert "differ" not in await surface.text()
    assert await a.store.digests() == await b.store.digests()


@virtual
async def test_what_is_kept_apart_is_counted_by_its_reason(cluster: Cluster):
    a, b = await cluster.full("ab")
    a.clock.skew = hours(1)
    await a.write()
    await cluster.meet()
    surface = Surface(b)
    series = await surface.series()
    assert series["quarantine_depth"] == 1
    assert series['quarantine_entries{code="future_stamp"}'] == 1
    assert "kept apart: 1 {'future_stamp': 1}" in await surface.text()


@virtual
async def test_a_clock_beyond_what_is_tolerated_is_named(cluster: Cluster):
    a = cluster.add("a", ["b"], max_offset_ms=5_000)
    b = cluster.add("b", ["a"], max_offset_ms=20_000)
    for node in (a, b):
        await node.start()
    a.clock.skew = hours(10 / 3600)
    await settle(6)
    assert "clocks further away than 5000 ms: host:b;" in await Surface(a).text()
    assert "clocks further away" not in await Surface(b).text()
    assert [one.clock_is_off for one in (await Surface(b).body()).peers or ()] == [False]

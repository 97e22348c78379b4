"""One run of the mesh from one seed: clients, faults, healing, and what must hold then."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from app.bootstrap.files import scrub_file
from app.domain.errors import AiMemoryError
from app.domain.timestamps import format_instant
from app.log.entry import Entry
from app.store.protocol import Receipt
from app.store.sql.filters import MemoryFilter
from tests.simulation.ages import KINDS, OPTIONS, Ages
from tests.simulation.faults import Faults
from tests.simulation.workload import Intent, Workload
from tests.unit.replication.cluster import Cluster, Node
from tests.unit.replication.virtual_time import VirtualLoop

CLIENTS = 3
OPERATIONS = 14
FAULTS = 3
AGED_EVERY = 5
"""One in so many lives is long."""
HEALED_WITHIN = 70.0
"""Two comparisons of digests."""
CONVERGE_SECONDS = 120.0


class BrokenPromiseError(AssertionError):
    """An invariant does not hold."""


@dataclass
class Acked:
    """A write whose client heard that it has its copies."""

    intent: Intent
    origin: str
    seqs: range
    hashes: list[bytes]
    needed: int
    holders: set[str]
    """Names of the nodes that are known to have had it then."""


@dataclass
class Report:
    """What a run was like."""

    seed: int
    trace: str
    acked: int
    missed: int
    refused: int
    states: Counter[str]


@dataclass
class World:
    """Everything of one run."""

    seed: int
    folder: Path
    random: Random = field(init=False)
    cluster: Cluster = field(init=False)
    workload: Workload = field(init=False)
    faults: Faults = field(init=False)
    acked: list[Acked] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    revived: set[str] = field(default_factory=set)
    killed: set[str] = field(default_factory=set)
    missed: int = 0
    refused: int = 0
    states: Counter[str] = field(default_factory=Counter)
    trace: "list[str]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(f"world {self.seed}")
        self.cluster = Cluster(self.folder, self.seed)
        self.workload = Workload(Random(f"workload {self.seed}"))
        self.faults = Faults(self.cluster, Random(f"faults {self.seed}"))

    async def run(self) -> Report:
        """Live, break, heal, and check.

        Raises:
            BrokenPromiseError: something that must hold does not.
        """
        names = "abcde"[: self.random.randrange(2, 5)]
        await self.cluster.full(names, timeout_seconds=1.0, **OPTIONS)
        healthy = self.random.random() < 0.1
        clients = [asyncio.create_task(self._client(no)) for no in range(CLIENTS)]
        if not healthy:
            for _ in range(FAULTS):
                await asyncio.sleep(self.random.uniform(0.0, 0.5))
                await self.faults.strike()
        await asyncio.gather(*clients)
        await self.faults.mend()
        await self._settle()
        await self._check(healthy=healthy)
        if self.seed % AGED_EVERY == 0:
            await self._age(KINDS[self.seed // AGED_EVERY % len(KINDS)])
        digests = [await node.store.digests() for node in self.cluster.up()]
        self.trace.append(sha256(b"".join(digests[0])).hexdigest())
        await self._scrub()
        for name in self.faults.seen:
            self.states[f"fault {name}"] += 1
        trace = sha256("\n".join(self.trace).encode()).hexdigest()
        return Report(self.seed, trace, len(self.acked), self.missed, self.refused, self.states)

    # -- clients -----------------------------------------------------------------------------

    async def _client(self, number: int) -> None:
        random = Random(f"client {self.seed} {number}")
        for _ in range(OPERATIONS):
            await asyncio.sleep(random.expovariate(4.0))
            up = self.cluster.up()
            if up:
                await self._act(random.choice(up), random)

    async def _act(self, node: Node, random: Random) -> None:
        mesh = node.running
        intent = self.workload.draw(format_instant(node.clock.now()))
        needed = random.choice((1, min(2, mesh.nodes), mesh.nodes // 2 + 1, mesh.nodes))
        try:
            receipt: Receipt[object] = await node.store.submit(intent.command)
        except AiMemoryError as error:
            self.refused += 1
            self._note(node, f"{intent.name} {error.code}")
            return
        self.states[f"did {intent.name}"] += 1
        if intent.makes is not None:
            self.workload.ids.append(intent.makes)
        # Whoever may have been revived is not looked at, even where the reviver was not acked.
        self.revived.update(intent.revives)
        if not receipt.seqs:
            return
        hashes = [one.hash for one in await self._entries(node, receipt)]
        outcome = await mesh.wait(receipt.origin, receipt.seqs, needed)
        self._note(node, f"{intent.name} {receipt.seqs} {outcome.got}/{needed} {outcome.reason}")
        if not outcome.is_met:
            self.missed += 1
            self.states[f"missed {outcome.reason}"] += 1
            return
        holders = {node.name} | {
            holder.name.removeprefix("sim://")
            for holder in mesh.quorum.holders
            if holder.marks.get(receipt.origin, 0) >= receipt.seqs[-1]
        }
        await self._really_held(receipt, holders)
        self.acked.append(Acked(intent, receipt.origin, receipt.seqs, hashes, needed, holders))

    async def _really_held(self, receipt: Receipt[object], holders: set[str]) -> None:
        """An ack is a promise about a disk, so look at the disk."""
        for name in sorted(holders):
            node = self.cluster.nodes[name]
            if node.mesh is None:
                continue
            if (await node.clocks()).get(receipt.origin, 0) < receipt.seqs[-1]:
                raise BrokenPromiseError(
                    f"{name} counts for {receipt.origin}:{receipt.seqs} and does not have it"
                )

    async def _entries(self, node: Node, receipt: Receipt[object]) -> list[Entry]:
        first = receipt.seqs[0]
        return list(await node.store.log_after(receipt.origin, first - 1, len(receipt.seqs)))

    def _note(self, node: Node, text: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():.6f} {node.name} {text}")

    async def _age(self, kind: str) -> None:
        ages = Ages(self.cluster, Random(f"ages {self.seed}"))
        self.states[f"passed {kind}"] += 1
        await ages.pass_by(kind)
        await self._settle()
        nodes = self.cluster.up()
        digests = [await node.store.digests() for node in nodes]
        if any(one != digests[0] for one in digests) and kind == "long_absence":
            # What one node took in time and another too late is told by comparing.
            self.states["healed by comparing"] += 1
            await asyncio.sleep(HEALED_WITHIN)
        shown = {row[0] for row in await self._alike()}
        if undead := ages.dead & shown:
            raise BrokenPromiseError(f"deleted and alive after {kind}: {sorted(undead)}")
        if lost := ages.fresh - shown:
            raise BrokenPromiseError(f"made and lost after {kind}: {sorted(lost)}")
        for node in nodes:
            mesh = node.running
            self.states["expired"] += mesh.membership.expired
            self.states["truncated"] += mesh.truncating.counts.entries
            self.states["tombstones dropped"] += mesh.forgetting.counts.tombstones
            self.states["snapshots"] += mesh.snapshots.counts.finished
            self.states["gave way"] += mesh.snapshots.counts.dropped
            codes = Counter(row.code for row in await node.store.quarantined(100))
            self.states["quarantine below_tombstones"] += codes["below_tombstones"]
            if set(codes) - {"fork", "below_tombstones"}:
                raise BrokenPromiseError(f"{node.name} keeps apart {codes}")

    # -- the end -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        try:
            await self.cluster.meet(CONVERGE_SECONDS)
        except AssertionError as error:
            raise BrokenPromiseError(f"the nodes do not meet: {error}") from error
        # What was put aside for the future may be let in by now.
        for node in self.cluster.up():
            await node.store.retry_quarantine()

    async def _alike(self) -> list[tuple[str, str, str, str]]:
        """The rows that every node shows."""
        nodes = self.cluster.up()
        digests = [await node.store.digests() for node in nodes]
        if any(one != digests[0] for one in digests):
            raise BrokenPromiseError("equal clocks, different digests")
        shown = [sorted([row async for row in _rows(node)]) for node in nodes]
        if any(one != shown[0] for one in shown):
            raise BrokenPromiseError("equal digests, different rows")
        return shown[0]

    async def _check(self, *, healthy: bool) -> None:
        nodes = self.cluster.up()
        shown = await self._alike()
        titles = [(namespace, title) for _, namespace, title, _ in shown]
        if len(set(titles)) < len(titles):
            raise BrokenPromiseError("two rows have one name")
        for node in nodes:
            if healthy and node.running.receiver.counts.known:
                raise BrokenPromiseError("a healthy mesh pushed something twice")
            rows = await node.store.quarantined(100)
            codes = Counter(row.code for row in rows)
            self.states.update(f"quarantine {code}" for code in codes)
            if set(codes) - {"fork"}:
                raise BrokenPromiseError(f"{node.name} keeps apart {codes}")
            self.states["renewals"] += node.running.guard.renewals
            self.states["pulled"] += node.running.puller.counts.entries
        await self._nothing_lost(nodes)
        await self._nothing_undead(nodes, {row[0] for row in shown})
        if any(" ~" in title for _, title in titles):
            self.states["a name has a loser"] += 1

    async def _nothing_lost(self, nodes: list[Node]) -> None:
        for one in self.acked:
            if not self._survives(one):
                self.states["void by a set-back disk"] += 1
                continue
            for node in nodes:
                found = await node.store.log_after(one.origin, one.seqs[0] - 1, len(one.seqs))
                if [entry.hash for entry in found] != one.hashes:
                    raise BrokenPromiseError(
                        f"{node.name} lost {one.intent.name} {one.origin}:{one.seqs},"
                        f" acknowledged by {sorted(one.holders)}"
                    )

    def _survives(self, acked: Acked) -> bool:
        """Whether some disk that held it was not set back to a time before it."""
        return any(
            all(
                clock.get(acked.origin, 0) >= acked.seqs[-1]
                for name, clock in self.faults.lost
                if name == holder
            )
            for holder in acked.holders
        )

    async def _nothing_undead(self, nodes: list[Node], alive: set[str]) -> None:
        dead = {
            memory_id for one in self.acked if self._survives(one) for memory_id in one.intent.kills
        } - self.revived
        undead = dead & alive
        if undead:
            raise BrokenPromiseError(f"deleted and alive: {sorted(undead)}")

    async def _scrub(self) -> None:
        """Stores prove themselves when nobody has them open."""
        for node in self.cluster.up():
            await node.stop()
        for node in self.cluster.nodes.values():
            report = scrub_file(node.path, lambda *_: None)
            if not report.is_sound:
                raise BrokenPromiseError(f"{node.name}: {report}")


async def _rows(node: Node) -> AsyncIterator[tuple[str, str, str, str]]:
    after = None
    chosen = MemoryFilter(now="2000-01-01T00:00:00.000000+00:00")
    while True:
        page = await node.store.memories_after(chosen, after, 500)
        for row in page:
            yield row.id, row.namespace, row.title, row.content
        if len(page) < 500:
            return


def run_seed(seed: int, folder: Path) -> Report:
    """Run one seed on a loop of its own."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = World.__new__(World)
    try:
        return loop.run_until_complete(_run(world, seed, folder))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()


async def _run(world: World, seed: int, folder: Path) -> Report:
    world.__init__(seed, folder)  # type: ignore[misc]
    try:
        return await world.run()
    except BaseException as error:
        error.add_note(f"seed {seed}, the end of its trace:\n" + "\n".join(world.trace[-30:]))
        raise
    finally:
        await world.cluster.close()

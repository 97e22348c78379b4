"""Several nodes in one process: real stores and real meshes, a network made of calls.

All waiting is on the event loop and all chance comes from a seed, so on a `VirtualLoop` a run
repeats itself exactly.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import TypeVar, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.domain.errors import AiMemoryError
from app.domain.memory import Memory
from app.domain.timestamps import format_instant
from app.replication.answers import UnknownMethodError
from app.replication.durability import Outcome
from app.replication.hello import Speaker
from app.replication.mesh import Mesh, MeshParts
from app.replication.messages import Hello, MalformedMessageError, Method
from app.replication.options import MeshOptions
from app.replication.ports import Caller, Failure, PeerCallError, UntrustedPeerError
from app.replication.scopes import EveryScope, Scopes
from app.store import schema
from app.store.protocol import Command, Receipt
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from tests.contract.store.conftest import MODEL, Put, memory
from tests.unit.replication.virtual_time import VirtualClock, VirtualLoop

T = TypeVar("T")


@dataclass
class Chance:
    random: Random

    def token(self, byte_count: int) -> bytes:
        return self.random.randbytes(byte_count)


class NoDisk:
    """Nothing here survives the test anyway."""

    def file(self, descriptor: int) -> None: ...

    def directory(self, path: Path) -> None: ...


@cache
def empty_store() -> Path:
    path = Path(mkdtemp(prefix="mesh-")) / "empty.db"
    schema.migrate(path, lambda _: None)
    return path


class Key:
    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_bytes = self._private.public_key().public_bytes_raw()

    def sign(self, data: bytes, /) -> bytes:
        return self._private.sign(data)


class Pins:
    """Trust on first use; the caller's node id is what the network says it is."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.refused: set[str] = set()

    def admit(self, caller: Caller, node_id: str, public_key: bytes, name: str = "") -> None:
        if node_id in self.refused:
            raise UntrustedPeerError("not_welcome", node_id)
        if self.keys.setdefault(node_id, public_key) != public_key:
            raise UntrustedPeerError("key_changed", node_id)

    def node_of(self, caller: Caller) -> str:
        if caller.node_id not in self.keys:
            raise UntrustedPeerError("unknown_peer", str(caller.node_id))
        assert caller.node_id is not None
        return caller.node_id

    def key_of(self, node_id: str) -> bytes | None:
        return self.keys.get(node_id)


@dataclass
class Call:
    """One call as it passes the network."""

    source: str
    target: str
    method: Method
    body: bytes


@dataclass
class Network:
    """Who can reach whom, and how well. Rates are chances, delays are seconds."""

    random: Random
    delay: tuple[float, float] = (0.0005, 0.002)
    lost: float = 0.0
    doubled: float = 0.0
    cut: set[tuple[str, str]] = field(default_factory=set)
    delays: dict[tuple[str, str], float] = field(default_factory=dict)
    nodes: dict[str, "Node"] = field(default_factory=dict)
    calls: Counter[tuple[str, str, Method]] = field(default_factory=Counter)
    before: Callable[[Call], PeerCallError | None] = lambda _: None
    """Looks at each call; an error it returns is what the caller gets."""
    answered: Callable[[Call, bytes], bytes] = lambda _, answer: answer
    """May change each answer."""

    def part(self, *sides: Iterable[str]) -> None:
        """Nobody reaches anybody of another side."""
        groups = [set(side) for side in sides]
        for one in groups:
            for other in groups:
                if one is not other:
                    self.cut |= {(a, b) for a in one for b in other}

    def heal(self) -> None:
        self.cut.clear()

    def is_lost(self, source: str, target: str) -> bool:
        return (source, target) in self.cut or self.random.random() < self.lost

    async def carry(self, call: Call, seconds: float) -> bytes:
        self.calls[call.source, call.target, call.method] += 1
        refusal = self.before(call)
        if refusal is not None:
            raise refusal
        delivery = asyncio.ensure_future(self._deliver(call))
        done, _ = await asyncio.wait({delivery}, timeout=seconds)
        if not done:
            delivery.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise PeerCallError(Failure.TIMEOUT, "no answer in time")
        return delivery.result()

    async def _deliver(self, call: Call) -> bytes:
        await self._pass(call.source, call.target)
        node = self.nodes.get(call.target)
        if node is None or node.mesh is None:
            raise PeerCallError(Failure.UNREACHABLE, "connection refused")
        if self.random.random() < self.doubled:
            await self._answer(node, call)
        answer = await self._answer(node, call)
        await self._pass(call.target, call.source)
        return self.answered(call, answer)

    async def _pass(self, source: str, target: str) -> None:
        while self.is_lost(source, target):  # noqa: ASYNC110 - time heals it, nobody tells
            # A lost packet is sent again by the transport below, until the caller gives up.
            await asyncio.sleep(0.2)
        extra = self.delays.get((source, target), 0.0)
        await asyncio.sleep(self.random.uniform(*self.delay) + extra)

    async def _answer(self, node: "Node", call: Call) -> bytes:
        mesh = node.mesh
        caller = Caller(None, self.nodes[call.source].node_id, call.source)
        if mesh is None:
            raise PeerCallError(Failure.UNREACHABLE, "connection reset")
        try:
            return await mesh.answer(call.method, call.body, caller)
        except UntrustedPeerError as error:
            raise PeerCallError(Failure.REFUSED, error.code) from error
        except (MalformedMessageError, UnknownMethodError) as error:
            raise PeerCallError(Failure.INCOMPATIBLE, str(error)) from error
        except AiMemoryError as error:
            raise PeerCallError(Failure.THROTTLED, error.message) from error


@dataclass
class Wire:
    """The transport from one node to another."""

    network: Network
    source: str
    target: str

    @property
    def url(self) -> str:
        return f"sim://{self.target}"

    async def call(self, method: Method, body: bytes, timeout_seconds: float) -> bytes:
        return await self.network.carry(
            Call(self.source, self.target, method, body), timeout_seconds
        )

    async def close(self) -> None: ...


class Node:
    """A node that can be started, stopped and killed; its files stay."""

    def __init__(self, cluster: "Cluster", name: str, options: MeshOptions) -> None:
        self.cluster = cluster
        self.name = name
        self.options = options
        self.path = cluster.folder / name / "memory.db"
        self.clock = VirtualClock(cast("VirtualLoop", asyncio.get_running_loop()))
        self.chance = Chance(Random(f"{cluster.seed}/{name}"))
        self.key = Key(Random(f"{cluster.seed}/key/{name}").randbytes(32))
        self.trust = Pins()
        self.scopes: Scopes = EveryScope()
        self.model: str | None = MODEL
        self.mesh: Mesh | None = None
        self.node_id: str | None = None
        self._store: SqliteStore | None = None
        self.claims_store: str | None = None
        """A store id to claim instead of its own: as nodes on one database do."""
        self._written = 0

    @property
    def store(self) -> SqliteStore:
        assert self._store is not None
        return self._store

    @property
    def running(self) -> Mesh:
        assert self.mesh is not None
        return self.mesh

    async def start(self) -> "Node":
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_store(), self.path)
        self._store = SqliteStore.open(
            SqliteOptions(
                FileOptions(self.path, synchronous="OFF"),
                model=self.model,
                dim=4,
                inline=True,
                max_offset_ms=self.options.max_offset_ms,
            ),
            Sources(self.clock, self.chance, NoDisk()),
        )
        if self.claims_store is not None:
            self._store._store_id = self.claims_store
        wires = self.wires(*(url.removeprefix("sim://") for url in self.options.peers))
        mesh = Mesh(
            MeshParts(
                options=self.options,
                store=self._store,
                transports=wires,
                trust=self.trust,
                key=self.key,
                clock=self.clock,
                chance=self.chance,
                speaker=Speaker(f"host:{self.name}", "test", 57, self.model),
                scopes=self.scopes,
            )
        )
        self.node_id = self._store.identity.node_id
        self.mesh = mesh
        await mesh.start()
        await mesh.first_contact()
        return self

    def wires(self, *targets: str) -> list[Wire]:
        """Transports to nodes."""
        return [Wire(self.cluster.network, self.name, target) for target in targets]

    async def stop(self) -> None:
        await self.running.stop()
        self.mesh = None
        await self.store.close()

    async def kill(self) -> None:
        """End at once: nothing is drained, nothing that was not committed is kept."""
        mesh, self.mesh = self.running, None
        await mesh.abort()
        await self.store.close()

    async def write(self, row: Memory | None = None) -> Receipt[Memory]:
        """Store a row."""
        return await self.store.submit(Put(row or self.row()))

    async def write_many(self, count: int, **changes: object) -> None:
        """Store rows in as few transactions as fit."""
        found = await self.store.submit_all([Put(self.row(**changes)) for _ in range(count)])
        assert all(isinstance(one, Receipt) for one in found)

    async def copies(self, needed: int, row: Memory | None = None) -> Outcome:
        """Store a row and wait for its copies."""
        receipt = await self.write(row)
        return await self.running.wait(receipt.origin, receipt.seqs, needed)

    async def shown(self, memory_id: str) -> Memory | None:
        """A row as readers see it."""
        found = await self.store.get_many(
            [memory_id], MemoryFilter(now=format_instant(self.clock.now()))
        )
        return found[0] if found else None

    def row(self, **changes: object) -> Memory:
        self._written += 1
        return memory(f"{self.name}-{self._written}", **changes)

    async def submit(self, command: Command[T]) -> T:
        return (await self.store.submit(command)).result

    async def hello(self) -> Hello:
        """What it says to peers."""
        return await self.running.answers._parts.introductions.make({})

    async def clocks(self) -> dict[str, int]:
        return (await self.store.clock()).as_dict()


@dataclass
class Cluster:
    """Nodes by name, each knowing all others unless it is said otherwise."""

    folder: Path
    seed: int = 1
    network: Network = field(init=False)
    nodes: dict[str, Node] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = Network(Random(f"{self.seed}/network"))

    def add(self, name: str, peers: Sequence[str], **options: object) -> Node:
        made = MeshOptions(identity=f"host:{name}", peers=tuple(f"sim://{peer}" for peer in peers))
        node = Node(self, name, replace(made, **options))  # type: ignore[arg-type]
        self.nodes[name] = self.network.nodes[name] = node
        return node

    @staticmethod
    def options(name: str, peers: Sequence[str], **changes: object) -> MeshOptions:
        """A node's options, with these peers."""
        made = MeshOptions(f"host:{name}", tuple(f"sim://{peer}" for peer in peers))
        return replace(made, **changes)  # type: ignore[arg-type]

    async def full(self, names: str, **options: object) -> list[Node]:
        """Start a full mesh of nodes named by letters."""
        found = [
            self.add(name, [other for other in names if other != name], **options) for name in names
        ]
        await asyncio.gather(*(node.start() for node in found))
        return found

    async def close(self) -> None:
        for node in self.nodes.values():
            if node.mesh is not None:
                await node.kill()

    def up(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.mesh is not None]

    async def is_converged(self) -> bool:
        clocks = [await node.clocks() for node in self.up()]
        return all(one == clocks[0] for one in clocks)

    async def meet(self, within: float = 30.0) -> float:
        """Wait until all running nodes have the same clocks; seconds it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await self.is_converged():
            clocks = {node.name: await node.clocks() for node in self.up()}
            assert loop.time() - began < within, clocks
            await asyncio.sleep(0.01)
        return loop.time() - began

    async def converge(self, within: float = 30.0) -> float:
        """Wait until all running nodes have the same clocks, and see that their bytes are."""
        seconds = await self.meet(within)
        digests = [await node.store.digests() for node in self.up()]
        assert all(one == digests[0] for one in digests)
        return seconds


async def settle(seconds: float = 0.5) -> None:
    await asyncio.sleep(seconds)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)

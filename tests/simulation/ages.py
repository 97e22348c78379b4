"""What happens to a mesh when a long time passes: somebody is away, leaves, or comes new."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from app.replication.ports import Failure, PeerCallError
from app.services.commands.memories import Changes, DeleteMemory, StoreMemory, UpdateMemory
from app.store.protocol import Command
from app.store.sql.filters import MemoryFilter
from tests.contract.store.conftest import memory
from tests.simulation.workload import CALLER
from tests.unit.replication.cluster import Call, Cluster, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

HORIZON = 100.0
SHORT, LONG = 85.0, 240.0
"""Seconds away: less than the horizon, and until all that may be forgotten is."""
OPTIONS: dict[str, Any] = {
    "members_seconds": 2.0,
    "housekeeping_seconds": 10.0,
    "horizon_seconds": HORIZON,
    "life_seconds": 5.0,
}
KINDS = ("absence", "long_absence", "leaving", "joining")
JOINED_WITHIN = 30.0
VICTIMS = 3


class WrongAgeError(AssertionError):
    """Something that must hold over a long time does not."""


@dataclass
class Ages:
    """A long time in the life of a cluster that is at peace."""

    cluster: Cluster
    random: Random
    dead: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    async def pass_by(self, kind: str) -> None:
        """Let it happen, and wait until everybody belongs to the fleet again."""
        self.seen.append(kind)
        await self._all_joined()
        await getattr(self, f"_{kind}")()
        await self._all_joined()

    async def _absence(self) -> None:
        """A member is away, and everything waits for it."""
        await self._away(SHORT)
        if any(node.running.membership.expired for node in self.cluster.up()):
            raise WrongAgeError("a member is expired before its time")

    async def _long_absence(self) -> None:
        """A member is away for so long that it is expired, and works on alone."""
        await self._away(LONG)
        if not any(node.running.membership.expired for node in self.cluster.up()):
            raise WrongAgeError("nobody is expired")

    async def _leaving(self) -> None:
        """A member leaves, and is started again with its peers one day."""
        one, others = self._one()
        await one.running.leave()
        await self._kill(others[0], await self._alive(others[0]))
        await self._make(one)
        await asyncio.sleep(LONG)
        if any(node.running.membership.expired for node in others):
            raise WrongAgeError("one that left is expired")
        await one.stop()
        await one.start()

    async def _joining(self) -> None:
        """A node comes that has nothing."""
        one, _ = self._one()
        await self._kill(one, await self._alive(one))
        await asyncio.sleep(LONG)
        new = self.cluster.add("z", list(self.cluster.nodes), timeout_seconds=1.0, **OPTIONS)
        await new.start()
        await self._make(new)

    async def _away(self, seconds: float) -> None:
        one, others = self._one()
        network, before = self.cluster.network, self.cluster.network.before

        def no_way(call: Call) -> PeerCallError | None:
            if one.name in {call.source, call.target}:
                return PeerCallError(Failure.UNREACHABLE, "no route")
            return before(call)

        network.before = no_way
        victims = await self._kill(others[0], await self._alive(others[0]))
        await asyncio.sleep(self.random.uniform(0.3, 0.6) * SHORT)
        for victim in victims[:2]:  # it has not heard that they are dead
            await self._do(one, UpdateMemory(victim, Changes(content="in the dark"), CALLER))
        await self._make(one)
        await asyncio.sleep(1.0)
        await self._kill(others[0], await self._alive(others[0]))
        await asyncio.sleep(seconds - 0.6 * SHORT)
        network.before = before

    # -- what is done ------------------------------------------------------------------------

    def _one(self) -> "tuple[Node, Sequence[Node]]":
        up = self.cluster.up()
        chosen = self.random.choice(up)
        return chosen, [node for node in up if node is not chosen]

    async def _kill(self, node: Node, ids: "Sequence[str]") -> "Sequence[str]":
        victims = self.random.sample(ids, min(VICTIMS, len(ids)))
        for victim in victims:
            await self._do(node, DeleteMemory(victim, CALLER, archive=False))
        self.dead.update(victims)
        return victims

    async def _make(self, node: Node) -> None:
        made = f"00000000-0000-4000-9000-{self.random.randrange(1 << 40):012d}"
        row = memory(made, title=made, content="made in another age", tier="long")
        await self._do(node, StoreMemory(row, CALLER, "error", None, None))
        self.fresh.add(made)

    @staticmethod
    async def _do(node: Node, command: Command[Any]) -> None:
        await node.store.submit(command)

    # -- what is seen ------------------------------------------------------------------------

    async def _alive(self, node: Node) -> "Sequence[str]":
        chosen = MemoryFilter(now="2000-01-01T00:00:00.000000+00:00")
        return sorted(row.id for row in await node.store.memories_after(chosen, None, 500))

    @staticmethod
    async def _states_of(node: Node, state: str) -> "Sequence[str]":
        return [one.node_id for one in await node.store.members() if one.state == state]

    async def _all_joined(self) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + JOINED_WITHIN
        while True:
            up = self.cluster.up()
            wanted = sorted(str(node.node_id) for node in up)
            found = [sorted(await self._states_of(node, "joined")) for node in up]
            if all(set(wanted) <= set(one) for one in found):
                return
            if loop.time() > give_up_at:
                raise WrongAgeError(f"not everybody has joined: {wanted}, {found}")
            await asyncio.sleep(0.5)

"""Forgetting the oldest entries of the log, once nobody who counts may ask for them.

An entry goes when it is older than the horizon, every member has it, whoever follows the log in
this store is past it, and somebody besides this node holds it. Who comes later takes a snapshot.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import epoch_milliseconds
from app.log.hlc import pack
from app.replication.enduring import enduring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.sources import Clock
    from app.replication.gossip import Gossip
    from app.replication.membership import Membership
    from app.replication.options import MeshOptions
    from app.store.protocol import OriginHead, Store

_LOGGER = logging.getLogger(__name__)

STEP_ENTRIES: Final = 5_000
"""So many entries of an origin go at once; then other writers have their turn."""
STEP_SECONDS: Final = 0.25


@dataclass(slots=True)
class Truncated:
    """Counts since the start."""

    entries: int = 0


class Truncating:
    """Keeps the log from growing for ever."""

    def __init__(
        self,
        options: MeshOptions,
        store: Store,
        gossip: Gossip,
        membership: Membership,
        clock: Clock,
    ) -> None:
        self._options = options
        self._store = store
        self._gossip = gossip
        self._membership = membership
        self._clock = clock
        self.counts = Truncated()

    async def run(self) -> None:
        """Truncate now and then, for ever."""
        while True:
            await asyncio.sleep(self._options.housekeeping_seconds)
            with enduring(_LOGGER, "the log is not truncated"):
                await self.truncate()

    async def truncate(self) -> int:
        """Forget what may be forgotten now; how many entries.

        Raises:
            StoreUnavailableError: some may have gone.
        """
        if not self._membership.is_joined:
            return 0
        now_ms = epoch_milliseconds(self._clock.now())
        before = pack(max(0, now_ms - round(self._options.horizon_seconds * 1_000)))
        forgotten = 0
        while floors := await self._floors():
            step = await self._store.truncate_log(floors, before)
            forgotten += step
            if not step:
                break
            await asyncio.sleep(STEP_SECONDS)
        self.counts.entries += forgotten
        if forgotten:
            _LOGGER.info("%d entries of the log are forgotten", forgotten)
        return forgotten

    async def _floors(self) -> Mapping[str, int]:
        """Origin → up to where entries may go in the next step, age aside."""
        cursors = self._gossip.cursors
        live = [cursors.get(one, {}) for one in self._membership.live()]
        members = [cursors.get(one, {}) for one in self._membership.rows]
        followed = await self._store.followed()
        found: dict[str, int] = {}
        for head in await self._store.heads():
            floor = min(
                _common(head, live),
                followed.get(head.origin, head.seq),
                # Whoever was alone for long must still be able to hand over what it wrote.
                max((one.get(head.origin, 0) for one in members), default=0),
            )
            if floor > head.floor:
                found[head.origin] = min(floor, head.floor + STEP_ENTRIES)
        return found


def _common(head: OriginHead, cursors: Sequence[Mapping[str, int]]) -> int:
    return min([head.seq, *(one.get(head.origin, 0) for one in cursors)])

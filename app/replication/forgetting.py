"""Dropping tombstones, once no entry can come any more that they must stand against.

Two rounds: when every member has what any had at a moment, each knows of all deaths until then;
and when every member has what any had at that later moment, whatever was written without knowing
of them is everywhere too. The node in charge says so by an entry, and every node drops the same
tombstones in the transaction that applies it. Entries of expired members may come later: see
`app.log.forgetting`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import epoch_milliseconds
from app.log import drafts
from app.log.forgetting import MARGIN
from app.log.hlc import pack
from app.replication.enduring import enduring
from app.replication.gossip import SEEN
from app.replication.membership import Say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.sources import Clock
    from app.replication.gossip import Gossip
    from app.replication.here import Here
    from app.replication.membership import Membership
    from app.replication.options import MeshOptions
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

DROPPED_AT_ONCE: Final = 2_000
"""About so many tombstones an entry drops, in the transactions of all nodes."""
STEP_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Mark:
    """A moment, and what every member has to have before it counts. Milliseconds."""

    at_ms: int
    wanted: Mapping[str, int]
    is_second: bool = False


@dataclass(slots=True)
class Forgotten:
    """Counts since the start: entries written here, and tombstones that they were to drop."""

    entries: int = 0
    tombstones: int = 0


class Forgetting:
    """Keeps tombstones from staying for ever."""

    def __init__(
        self,
        options: MeshOptions,
        store: Store,
        here: Here,
        gossip: Gossip,
        membership: Membership,
        clock: Clock,
    ) -> None:
        self._options = options
        self._store = store
        self._here = here
        self._gossip = gossip
        self._membership = membership
        self._clock = clock
        self._mark: _Mark | None = None
        self._settled_ms = 0
        """What was written before is everywhere, and so is what was written not knowing it."""
        self.counts = Forgotten()

    async def run(self) -> None:
        """Watch how far members come, and forget now and then, for ever."""
        loop = asyncio.get_running_loop()
        forgot_at = loop.time()
        while True:
            await asyncio.sleep(self._options.members_seconds)
            self.look()
            if loop.time() - forgot_at < self._options.housekeeping_seconds:
                continue
            forgot_at = loop.time()
            with enduring(_LOGGER, "no tombstones are dropped"):
                await self.forget()

    def look(self) -> None:
        """See whether the members have come as far as the mark."""
        if not self._membership.is_in_charge():
            self._mark = None
            return
        clocks = self._clocks()
        mark = self._mark
        if mark is not None and all(_covers(one, mark.wanted) for one in clocks):
            if mark.is_second:
                self._settled_ms = max(self._settled_ms, mark.at_ms)
                mark = None
            else:
                mark = _Mark(mark.at_ms, _joined(clocks), is_second=True)
        self._mark = mark or _Mark(self._now_ms(), _joined(clocks))

    async def forget(self) -> None:
        """Say that tombstones may go, if there are any that may.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        is_more = True
        while is_more and self._membership.is_in_charge():
            below = await self._below()
            old = await self._store.oldest_tombstones(below, DROPPED_AT_ONCE)
            is_more = len(old) == DROPPED_AT_ONCE
            if is_more:
                below = old[-1] + 1  # all of one entry go together, however many it names
            if not old or below <= await self._store.tombstone_floor():
                return
            await self._store.submit(Say(drafts.forget(below, f"node:{self._here.node_id}")))
            self.counts.entries += 1
            self.counts.tombstones += len(old)
            _LOGGER.info("%d tombstones are dropped", len(old))
            await asyncio.sleep(STEP_SECONDS)

    async def _below(self) -> int:
        """The clock before which nothing is owed to anybody.

        The log begins after it here, so that nobody gets entries that the tombstones would have
        answered: who comes new takes a snapshot. Others cut theirs as often as this node.
        """
        options, now_ms = self._options, self._now_ms()
        kept = options.horizon_seconds + 2 * options.housekeeping_seconds
        below = pack(max(0, min(now_ms - round(kept * 1_000), self._settled_ms)))
        below -= max(MARGIN, pack(options.max_offset_ms))
        for head in await self._store.heads():
            if head.seq > head.floor:
                run = await self._store.log_run(head.origin, head.floor, 1)
                if run is not None:
                    below = min(below, run.entries[0].hlc)
        return max(0, below)

    def _clocks(self) -> Sequence[Mapping[str, int]]:
        cursors = self._gossip.cursors
        return [self._here.clock, *(cursors.get(one, {}) for one in self._membership.live())]

    def _now_ms(self) -> int:
        return epoch_milliseconds(self._clock.now())


def _joined(clocks: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for clock in clocks:
        for origin, seq in clock.items():
            if origin != SEEN:
                found[origin] = max(seq, found.get(origin, 0))
    return found


def _covers(clock: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    return all(clock.get(origin, 0) >= seq for origin, seq in wanted.items())

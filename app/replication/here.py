"""What this node holds, in memory: the end of every origin's log, and which of them are its own.

Moved at once by whatever passes through the mesh, and read again from the store soon after anybody
else wrote. So it lags behind the store by a moment at most and never runs ahead of it.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from app.log.epochs import parse_origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.store.protocol import OriginHead, Store


@lru_cache(maxsize=4096)
def node_of(origin: str) -> str | None:
    """The node that writes an origin; None for one that no node of this kind made."""
    parsed = parse_origin(origin)
    return None if parsed is None else parsed.node_id


class Here:
    """The ends of the logs in this node's store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seqs: dict[str, int] = {}
        self._clock: dict[str, int] | None = None
        self._awaited: dict[asyncio.Future[None], Mapping[str, int]] = {}
        self.origin = ""
        """The current own origin."""
        self.node_id = ""

    def __getitem__(self, origin: str) -> int:
        return self._seqs.get(origin, 0)

    @property
    def clock(self) -> Mapping[str, int]:
        """Origin → last number, of origins with entries; not to be changed."""
        if self._clock is None:
            self._clock = {origin: seq for origin, seq in self._seqs.items() if seq}
        return self._clock

    def own_origins(self) -> Sequence[str]:
        """Every origin of this node's entries, the current one first."""
        older = [one for one in self._seqs if one != self.origin and node_of(one) == self.node_id]
        return [self.origin, *older]

    async def refresh(self) -> Sequence[OriginHead]:
        """Read the ends anew."""
        heads = await self._store.heads()
        for head in heads:
            if head.is_self:
                self.origin = head.origin
                self.node_id = node_of(head.origin) or ""
        self.moved({head.origin: head.seq for head in heads})
        return heads

    def moved(self, ends: Mapping[str, int]) -> None:
        """Note ends that are durable here. An earlier one is old news: logs only grow."""
        for origin, seq in ends.items():
            if seq > self._seqs.get(origin, -1):
                self._seqs[origin] = seq
                self._clock = None
        for reached, clock in list(self._awaited.items()):
            if not reached.done() and not self.lacks(clock):
                reached.set_result(None)

    def lacks(self, clock: Mapping[str, int]) -> bool:
        """Whether whoever has this clock has something that is not here."""
        seqs = self._seqs
        return any(seq > seqs.get(origin, 0) for origin, seq in clock.items())

    async def reached(self, clock: Mapping[str, int], seconds: float) -> bool:
        """Wait until all that whoever has this clock has is here, at most so long; whether it is.

        An entry that was put aside, or came as a hole, counts: nothing more will come of it.
        """
        if not self.lacks(clock):
            return True
        reached = asyncio.get_running_loop().create_future()
        self._awaited[reached] = clock
        try:
            await asyncio.wait([reached], timeout=seconds)
        finally:
            del self._awaited[reached]
        return reached.done()

"""The way to a peer of v0.7.0: entries out as rows when there are some, rows in now and then.

Such a peer cannot say where its copy of our log ends. So that is remembered here, as the time of
the last entry that it took; after a restart the few entries of that millisecond go out again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from app.domain.timestamps import (
    epoch_milliseconds,
    format_instant,
    from_epoch_milliseconds,
    parse_instant,
)
from app.log.hlc import wall_milliseconds
from app.store.replica import LogTruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.replication.lane import LaneParts, Pushed
    from app.replication.v070.peer import V070Peer
    from app.replication.waiting import Bell

AGAIN_SECONDS: Final = 300.0
"""How often such a peer is asked whether it has become one of this release."""
SWEEP_SECONDS: Final = 6 * 3_600.0
"""How often all of its rows are looked at: one that came to it late has an old time."""
NOTE_SECONDS: Final = 5.0
"""How often it is written down how far the peer has come."""


class Position(Protocol):
    """Where it is remembered how far a peer has come."""

    async def pushed_to(self) -> str | None:
        """The time of the last entry that the peer took, canonical text."""
        ...

    async def note_pushed(self, pushed_to: str) -> None:
        """The peer took everything up to this time."""
        ...


@dataclass(slots=True)
class Progress:
    """What outlives one talk. `sent` and `counts` are the lane's own: it shows them."""

    sent: dict[str, int]
    counts: Pushed
    swept_at: float | None = None


class V070Lane:
    """What a lane does once it knows that its peer is of v0.7.0."""

    def __init__(
        self,
        peer: V070Peer,
        position: Position,
        parts: LaneParts,
        progress: Progress,
    ) -> None:
        self._peer = peer
        self._position = position
        self._parts = parts
        self._progress = progress
        self._sent = progress.sent
        self._noted: int | None = None
        self._reached: int | None = None
        self._noted_at = 0.0

    async def talk(self, bell: Bell, up: Callable[[], None]) -> None:
        """Supply the peer until a call fails or it may have become one of this release.

        Raises:
            PeerCallError: a call failed.
            StoreUnavailableError: this node cannot read or write now.
        """
        await self._peer.probe()
        await self._resume()
        up()
        loop = asyncio.get_running_loop()
        end = loop.time() + AGAIN_SECONDS
        pull_at = loop.time()
        seconds = self._parts.options.catchup_seconds
        try:
            while loop.time() < end:
                if await self._push():
                    continue
                if seconds and loop.time() >= pull_at:
                    await self._pull()
                    pull_at = loop.time() + seconds
                await self._note(NOTE_SECONDS)
                until = min(end, pull_at) if seconds else end
                await bell.wait(min(max(0.0, until - loop.time()), NOTE_SECONDS))
        finally:
            await self._note(0.0)

    async def _pull(self) -> None:
        now, progress = asyncio.get_running_loop().time(), self._progress
        if progress.swept_at is None:
            progress.swept_at = now
        is_due = now - progress.swept_at >= SWEEP_SECONDS
        await self._peer.pull(everything=is_due)
        if is_due:
            progress.swept_at = now

    async def _push(self) -> bool:
        """Send the next entries of each own origin; whether there were any."""
        parts, found = self._parts, False
        for origin in parts.here.own_origins():
            sent = self._sent.get(origin, 0)
            if parts.here[origin] <= sent and origin != parts.here.origin:
                continue
            try:
                parcel = await parts.outbox.after(origin, sent, parts.options.batch_bytes)
            except LogTruncatedError:
                # Rows as old as that it has, or pulls.
                self._sent[origin] = await self._floor(origin)
                found = True
                continue
            if parcel is None:
                continue
            outcome = await self._peer.push(parcel.entries)
            for one in outcome.refused:
                settled = parts.quorum.refused(self._peer.url, one.origin, [one.seq])
                parts.copies.settle(settled)
            self._sent[origin] = outcome.decided_up_to[origin]
            parts.copies.settle(parts.quorum.acked(self._peer.url, list(self._sent.items())))
            counts = self._progress.counts
            counts.batches += 1
            counts.entries += len(parcel.entries)
            counts.bytes += parcel.bytes
            self._reached = wall_milliseconds(parcel.entries[-1].hlc)
            found = True
        return found

    async def _floor(self, origin: str) -> int:
        heads = await self._parts.store.heads()
        return next((one.floor for one in heads if one.origin == origin), 0)

    async def _resume(self) -> None:
        if self._sent:
            return
        text = await self._position.pushed_to()
        reached = None if text is None else epoch_milliseconds(parse_instant(text))
        self._noted = self._reached = reached
        own = set(self._parts.here.own_origins())
        for head in await self._parts.store.heads():
            if head.origin in own:
                at = await self._last_before(head.origin, head.floor, head.seq, reached)
                self._sent[head.origin] = at

    async def _last_before(self, origin: str, low: int, high: int, reached: int | None) -> int:
        """The last number whose entry is earlier than a millisecond; stamps rise with numbers."""
        while reached is not None and low < high:
            middle = (low + high) // 2
            run = await self._parts.store.log_run(origin, middle, 1)
            if run is not None and wall_milliseconds(run.entries[0].hlc) < reached:
                low = middle + 1
            else:
                high = middle
        return low

    async def _note(self, pause: float) -> None:
        now = asyncio.get_running_loop().time()
        if self._reached is None or self._reached == self._noted or now - self._noted_at < pause:
            return
        reached = self._reached
        await self._position.note_pushed(format_instant(from_epoch_milliseconds(reached)))
        self._noted, self._noted_at = reached, now

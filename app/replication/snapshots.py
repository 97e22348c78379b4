"""Taking all states of a peer, where no reachable peer has the entries any more.

Pages are joined as they come, and what is here and was forgotten there gives way. With the last
page the ends of the logs count, which the peer read before its first state, so the states hold no
less; from there on entries are fetched as always. What is here and nowhere else stays: states are
joined, and own entries are handed on by lanes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import AiMemoryError
from app.log.forgetting import FLOOR, floor_of, is_outdated
from app.log.state import EntityKey, decode_state
from app.replication.messages import Method, SnapshotAsked, SnapshotPage
from app.replication.ports import PeerCallError
from app.replication.quorum import Reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.registers import Cells
    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.messages import WireHead, WireState
    from app.replication.puller import Puller
    from app.replication.scopes import Scopes
    from app.store.protocol import StateRow, Store

_LOGGER = logging.getLogger(__name__)

PAGE_BYTES: Final = 512 * 1024
RETRY_SECONDS: Final = 2.0
HAND_OVER_TRIES: Final = 15
"""So often a peer is waited for that has not got yet what this node wrote alone."""


@dataclass(slots=True)
class Taken:
    """Counts since the start."""

    finished: int = 0
    pages: int = 0
    states: int = 0
    """States that changed something here."""
    failures: int = 0
    dropped: int = 0
    """Memories here that were deleted, and forgotten, while this node was away."""


@dataclass(slots=True)
class _Progress:
    """A snapshot that is being taken: from whom, which ends it will have, and how far it is."""

    store_id: str
    heads: Sequence[WireHead]
    after: tuple[str, str]


class Snapshots:
    """Brings a node that is too far behind for the logs up to date."""

    def __init__(
        self, store: Store, here: Here, puller: Puller, scopes: Scopes, lanes: Mapping[str, Lane]
    ) -> None:
        """`lanes` is looked at anew each time."""
        self._store = store
        self._here = here
        self._puller = puller
        self._scopes = scopes
        self._lanes = lanes
        self._progress: _Progress | None = None
        self._waited = 0
        self.counts = Taken()

    async def run(self) -> None:
        """Take snapshots when there is no other way, for ever."""
        while True:
            await self._puller.stranded.wait()
            while beyond := dict(self._puller.beyond()):
                lane = self._choose(beyond)
                if lane is not None:
                    await self._try(lane, beyond)
                if dict(self._puller.beyond()):
                    await asyncio.sleep(RETRY_SECONDS)

    def _choose(self, beyond: Mapping[str, int]) -> Lane | None:
        """Whoever has most of what lacks; the one that was asked before if it still can."""
        able = [
            lane
            for lane in self._lanes.values()
            if lane.reach is Reach.UP
            and lane.peer.node_id is not None
            and lane.peer.store_id != self._store.store_id
            and not self._scopes.is_limited(lane.peer.node_id)
            and any(lane.peer.clock.get(one, 0) > self._here[one] for one in beyond)
        ]
        is_known = any(lane.is_drained() for lane in able)
        if able and not is_known and self._waited < HAND_OVER_TRIES:
            # What this node alone has is handed over first: what gives way then is known to all.
            self._waited += 1
            return None
        begun = None if self._progress is None else self._progress.store_id
        return max(
            able,
            key=lambda lane: (
                lane.peer.store_id == begun,
                lane.is_drained(),
                sum(lane.peer.clock.get(one, 0) for one in beyond),
            ),
            default=None,
        )

    async def _try(self, lane: Lane, beyond: Mapping[str, int]) -> None:
        try:
            await self._take(lane, beyond)
        except (PeerCallError, AiMemoryError) as error:
            self.counts.failures += 1
            _LOGGER.warning("the snapshot of %s is put off: %s", lane.url, error)
        except Exception:  # outermost frame: another peer may do better
            self.counts.failures += 1
            self._progress = None
            _LOGGER.exception("taking the snapshot of %s failed unexpectedly", lane.url)

    async def _take(self, lane: Lane, beyond: Mapping[str, int]) -> None:
        begun = self._progress
        if begun is None or begun.store_id != lane.peer.store_id:
            _LOGGER.warning(
                "the entries after %s of %d origins are kept nowhere: taking the snapshot of %s",
                *({one: self._here[one] for one in beyond}, len(beyond), lane.url),
            )
            begun = None
        after = None if begun is None else begun.after
        while True:
            message = SnapshotAsked(self._here.node_id, PAGE_BYTES, after)
            page = await lane.line.ask(
                Method.SNAPSHOT, message, SnapshotPage, answer_bytes=2 * PAGE_BYTES
            )
            heads = page.heads if begun is None else begun.heads
            self.counts.pages += 1
            await self._give_way(after, page)
            if page.next is None:
                await self._store.join_states([], heads=heads)
                break
            self.counts.states += await self._store.join_states(page.states, vectors=page.vectors)
            after = page.next
            begun = self._progress = _Progress(lane.peer.store_id or "", heads, after)
        self._progress = None
        self._waited = 0
        self.counts.finished += 1
        await self._here.refresh()
        _LOGGER.warning("the snapshot of %s is taken", lane.url)
        self._puller.look()

    async def _give_way(self, after: tuple[str, str] | None, page: SnapshotPage) -> None:
        """Drop what is here in a page's range and was forgotten where the page is from.

        Deletes whose tombstones are dropped are told by nothing but absence.
        """
        theirs = {EntityKey(one.kind, one.key): one for one in page.states}
        below = await self._store.tombstone_floor()
        if FLOOR in theirs:
            below = max(below, floor_of(decode_state(FLOOR.kind, theirs[FLOOR].state)))
        if not below:
            return
        outdated = [
            row
            for row in await self._between(after, page.next)
            if row.kind == "memory"
            and is_outdated(
                decode_state(row.kind, row.state),
                _cells(theirs.get(EntityKey(row.kind, row.key))),
                below,
            )
        ]
        if outdated:
            dropped = await self._store.drop_states(outdated)
            self.counts.dropped += dropped
            _LOGGER.warning("%d memories give way to the snapshot: they were deleted", dropped)

    async def _between(
        self, after: tuple[str, str] | None, last: tuple[str, str] | None
    ) -> Sequence[StateRow]:
        """The states here that a page speaks of."""
        found: list[StateRow] = []
        while rows := await self._store.states_after(after, PAGE_BYTES):
            found += [one for one in rows if last is None or (one.kind, one.key) <= last]
            after = (rows[-1].kind, rows[-1].key)
            if last is not None and after >= last:
                break
        return found


def _cells(state: WireState | None) -> Cells | None:
    return None if state is None else decode_state(state.kind, state.state)

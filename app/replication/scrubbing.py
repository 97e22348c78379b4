"""Hashing all that is stored once a day, and making damaged rows anew.

A row that does not show its state is made from the state. A state that fails its own hash is taken
from a peer that has every entry that is here: its state then holds no less than the lost one did.
Nobody votes: a state that has its hash is sound, whatever others hold.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.log.state import EntityKey
from app.replication.enduring import enduring
from app.replication.messages import Method, States, StatesAsked
from app.replication.ports import PeerCallError
from app.replication.quorum import Reach
from app.replication.waiting import Bell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

SCRUB_SECONDS: Final = 86_400.0
STATES_AT_ONCE: Final = 64
_NAMED_MAX: Final = 10


@dataclass(slots=True)
class Scrubbed:
    """Counts since the start."""

    scrubs: int = 0
    damaged: int = 0
    """Rows that failed their hash or did not show their state."""
    mended: int = 0


class Scrubbing:
    """Finds what the disk, or somebody behind the node's back, did to the rows."""

    def __init__(self, store: Store, here: Here, scopes: Scopes, lanes: Mapping[str, Lane]) -> None:
        """`lanes` is looked at anew each time."""
        self._store = store
        self._here = here
        self._scopes = scopes
        self._lanes = lanes
        self._bell = Bell()
        self.counts = Scrubbed()

    def begin(self) -> None:
        """Scrub now, or once more if that is what is being done."""
        self._bell.ring()

    async def run(self) -> None:
        """Scrub once a day and whenever somebody asks, for ever."""
        while True:
            await self._bell.wait(SCRUB_SECONDS)
            with enduring(_LOGGER, "the store is not scrubbed"):
                await self.scrub()

    async def scrub(self) -> None:
        """Hash everything, alarm, and mend what can be mended.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        report = await self._store.scrub(lambda _done, _total: None)
        self.counts.scrubs += 1
        if report.is_sound:
            _LOGGER.info("the store is sound: %d rows", report.rows)
            return
        lost = [EntityKey(*one.split(" ", 1)) for one in report.damaged_states]
        unshown = [EntityKey("memory", one) for one in report.wrong_projections]
        self.counts.damaged += len(lost) + len(unshown)
        _LOGGER.error(
            "the store is damaged: states %s, rows %s, digests %s, logs %s",
            [f"{one.kind} {one.key}" for one in lost[:_NAMED_MAX]],
            [one.key for one in unshown[:_NAMED_MAX]],
            *(report.wrong_buckets[:_NAMED_MAX], report.broken_chains[:_NAMED_MAX]),
        )
        mended = 0
        for start in range(0, len(unshown), STATES_AT_ONCE):
            rows = await self._store.states_of(unshown[start : start + STATES_AT_ONCE])
            mended += await self._store.mend(rows)
        mended += await self._fetch(lost)
        self.counts.mended += mended
        left = len(lost) + len(unshown) - mended
        _LOGGER.warning("%d damaged rows are mended, %d are not", mended, left)

    async def _fetch(self, lost: Sequence[EntityKey]) -> int:
        """Take states from peers that have all that is here; how many."""
        left = set(lost)
        clock = (await self._store.clock()).as_dict()
        for lane in list(self._lanes.values()):
            if not self._is_of_use(lane, clock):
                continue
            try:
                left -= await self._fetch_from(lane, sorted(left))
            except PeerCallError as error:
                _LOGGER.warning("no states to mend with from %s: %s", lane.url, error)
        return len(lost) - len(left)

    def _is_of_use(self, lane: Lane, clock: Mapping[str, int]) -> bool:
        peer = lane.peer
        return (
            lane.reach is Reach.UP
            and peer.node_id is not None
            and peer.store_id != self._store.store_id
            and not self._scopes.is_limited(peer.node_id)
            and all(peer.clock.get(origin, 0) >= seq for origin, seq in clock.items())
        )

    async def _fetch_from(self, lane: Lane, wanted: Sequence[EntityKey]) -> set[EntityKey]:
        taken: set[EntityKey] = set()
        for start in range(0, len(wanted), STATES_AT_ONCE):
            keys = wanted[start : start + STATES_AT_ONCE]
            message = StatesAsked(self._here.node_id, [(one.kind, one.key) for one in keys])
            answer = await lane.line.ask(Method.STATES, message, States)
            rows = [one for one in answer.states if EntityKey(one.kind, one.key) in keys]
            if await self._store.mend(rows) == len(rows):
                taken.update(EntityKey(one.kind, one.key) for one in rows)
        return taken

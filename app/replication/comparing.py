"""Comparing states with every peer's, and joining what differs.

Logs bring states together as long as nothing is lost below them. This looks whether they did:
digests of all buckets first, then the rows of those that differ, then the states of rows that do.
Both sides look, and each only pulls.

At equal clocks equal digests are owed. Under load clocks are hardly ever equal, but most buckets
are still for a moment: a bucket that was seen equal once is done with. Of those that never were,
a row is damaged for certain if it stood still on both sides, differing, from before until after
each side had all that the other had. Joining is harmless at any time; the alarm is not.

A purge blanks whole payloads. What such an entry said of others than the purged memory comes only
this way to whoever was away, so holes are followed by a comparison soon, and by no alarm.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import AiMemoryError
from app.log.digest import BUCKETS, DIGEST_BYTES, bucket_of
from app.log.quarantine import RefusalCode
from app.log.state import EntityKey
from app.replication.messages import (
    BucketAsked,
    BucketRows,
    Digests,
    DigestsAsked,
    Method,
    States,
    StatesAsked,
)
from app.replication.ports import Failure, PeerCallError
from app.replication.quorum import Reach
from app.replication.waiting import Bell
from app.store.replica import LogTruncatedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.messages import Refused
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

LOOKS: Final = 5
LOOK_SECONDS: Final = 0.5
COVER_SECONDS: Final = 12.0
"""How long two sides may take to have what the other had; a sign of life comes twice meanwhile."""
BUCKETS_AT_ONCE: Final = 16
STATES_AT_ONCE: Final = 64
BEHIND_MAX: Final = 5_000
"""Who is further behind than so many entries catches up first."""
HOLES_SECONDS: Final = 1.0
"""How soon after a hole to look, and to look again while more is under way."""
_COVER_LOOK_SECONDS: Final = 0.1
_QUARANTINE_MAX: Final = 200
_LEGITIMATE: Final = frozenset(
    {
        RefusalCode.OUT_OF_SCOPE,
        RefusalCode.FUTURE_STAMP,
        RefusalCode.MALFORMED_HEADER,
        RefusalCode.MALFORMED_PAYLOAD,
        RefusalCode.PAYLOAD_TOO_LARGE,
        RefusalCode.UNPROJECTABLE,
    }
)
"""What is kept apart for these reasons is meant to be missing.

A lost payload or a fork is not. Nor is what came below the tombstones: whoever shows it had it
before it dropped them, and so knows that it was not deleted.
"""

Rows = dict[EntityKey, bytes]
Differences = dict[EntityKey, tuple[bytes | None, bytes]]
"""Key → the hash here and that of the peer."""


@dataclass(slots=True)
class Compared:
    """What is known of one peer's states."""

    is_equal: bool | None = None
    """None: not known, or the peer's scope is limited, so that states are not meant to be equal."""
    at: float | None = None
    """When that was found out. The event loop's time."""


@dataclass(slots=True)
class Repaired:
    """Counts since the start."""

    undecided: int = 0
    """Comparisons that ended without a verdict: too much was under way."""
    repairs: int = 0
    """Comparisons after which something changed here."""
    buckets: int = 0
    rows: int = 0


def differing(mine: Sequence[bytes], theirs: bytes) -> set[int]:
    """The buckets whose digests differ; `theirs` is all of them in a row."""
    return {
        bucket
        for bucket, digest in enumerate(mine)
        if theirs[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES] != digest
    }


class Comparing:
    """Keeps this node's states equal to those of its peers."""

    def __init__(
        self,
        seconds: float,
        store: Store,
        here: Here,
        scopes: Scopes,
        lanes: Mapping[str, Lane],
    ) -> None:
        """`seconds` lie between comparisons, 0 is never; `lanes` is looked at anew each time."""
        self._seconds = seconds
        self._store = store
        self._here = here
        self._scopes = scopes
        self._lanes = lanes
        self._known: dict[str, Compared] = {}
        self._bell = Bell()
        self._has_holes = False
        """Whether states may lack here for the good reason that their entries were purged."""
        self.counts = Repaired()

    def of(self, url: str) -> Compared:
        """What is known of the peer at an address."""
        return self._known.setdefault(url, Compared())

    def holed(self) -> None:
        """Entries came without their payloads."""
        self._has_holes = True
        self._bell.ring()

    async def run(self) -> None:
        """Compare with each peer, for ever."""
        soon = min(HOLES_SECONDS, self._seconds)
        while self._seconds:
            if not self._has_holes:
                rung = await self._bell.wait(self._seconds)
                if rung and not self._has_holes:
                    continue  # of holes that were seen to already
            if self._has_holes:
                await asyncio.sleep(soon)  # more come while a node catches up
            had_holes, self._has_holes = self._has_holes, False
            lanes = list(self._lanes.values())
            told = await asyncio.gather(*(self._try(one, quietly=had_holes) for one in lanes))
            if had_holes and not all(told):
                self._has_holes = True
            # Where a scope withholds payloads, holes never end.
            soon = min(2 * soon if had_holes else HOLES_SECONDS, self._seconds)

    async def _try(self, lane: Lane, *, quietly: bool) -> bool:
        """Compare with one peer; whether that told as much as trying again would."""
        if not self._is_comparable(lane):
            self._known.pop(lane.url, None)
            return True
        undecided = self.counts.undecided
        try:
            await self._compare(lane, quietly=quietly)
        except (PeerCallError, AiMemoryError) as error:
            self.counts.undecided += 1
            _LOGGER.info("states are not compared with %s: %s", lane.url, error)
            return isinstance(error, PeerCallError) and error.is_permanent
        except Exception:  # outermost frame: the next comparison may go well
            _LOGGER.exception("comparing states with %s failed unexpectedly", lane.url)
            return False
        return self.counts.undecided == undecided

    def _is_comparable(self, lane: Lane) -> bool:
        peer = lane.peer
        return (
            lane.reach is Reach.UP
            and peer.node_id is not None
            and peer.store_id not in {None, self._store.store_id}
            and not self._scopes.is_limited(peer.node_id)
        )

    # -- one peer --------------------------------------------------------------------------

    async def _compare(self, lane: Lane, *, quietly: bool) -> None:
        suspects = set(range(BUCKETS))
        apart: Sequence[Refused] = ()
        for look in range(LOOKS):
            if look:
                await asyncio.sleep(LOOK_SECONDS)
            theirs = await self._digests(lane)
            apart = theirs.quarantined
            clock, mine = await self._store.clocked_digests()
            found = differing(mine, theirs.digests)
            suspects &= found
            if not suspects:
                self._decide(lane, is_equal=True)
                return
            if clock.as_dict() == theirs.clock:
                differences = await self._owed(lane, found, apart)
                await self._repair(lane, differences, quietly=quietly)
                return
            if _behind(clock.as_dict(), theirs.clock) > BEHIND_MAX:
                self.counts.undecided += 1
                return
        still = await self._still(lane, suspects)
        if still is None:
            self.counts.undecided += 1
            return
        await self._repair(lane, await self._but_for(still, apart), quietly=quietly)

    async def _digests(self, lane: Lane) -> Digests:
        found = await lane.line.ask(Method.DIGEST, DigestsAsked(self._here.node_id), Digests)
        if len(found.digests) != BUCKETS * DIGEST_BYTES:
            raise PeerCallError(Failure.INCOMPATIBLE, "it has another number of digests")
        return found

    async def _owed(
        self, lane: Lane, buckets: Collection[int], apart: Iterable[Refused]
    ) -> Differences:
        """What differs in some buckets, whose digests differed at equal clocks."""
        found, _ = await self._rows(lane, buckets)
        return await self._but_for(found, apart)

    async def _still(self, lane: Lane, buckets: Collection[int]) -> Differences | None:
        """What differs for certain, found while entries come and go; None if that cannot be told.

        Whatever one side had at the first look the other has at the second.
        """
        first, theirs = await self._rows(lane, buckets)
        mine = (await self._store.clock()).as_dict()
        for _ in range(round(COVER_SECONDS / _COVER_LOOK_SECONDS)):
            if not self._here.lacks(theirs) and not _behind(lane.peer.clock, mine):
                break
            await asyncio.sleep(_COVER_LOOK_SECONDS)
        else:
            return None
        second, _ = await self._rows(lane, {bucket_of(key) for key in first})
        return {key: hashes for key, hashes in second.items() if first.get(key) == hashes}

    async def _rows(
        self, lane: Lane, buckets: Collection[int]
    ) -> tuple[Differences, Mapping[str, int]]:
        """Rows of the peer that are not the same here, and a clock that is not before them."""
        found: Differences = {}
        clock: Mapping[str, int] = {}
        wanted = sorted(buckets)
        for start in range(0, len(wanted), BUCKETS_AT_ONCE):
            part = wanted[start : start + BUCKETS_AT_ONCE]
            answer = await lane.line.ask(
                Method.BUCKET, BucketAsked(self._here.node_id, part), BucketRows
            )
            mine: Rows = dict(await self._store.bucket_rows(part))
            clock = answer.clock
            for row in answer.rows:
                key = EntityKey(row.kind, row.key)
                if mine.get(key) != row.row_hash:
                    found[key] = (mine.get(key), row.row_hash)
            theirs = {EntityKey(row.kind, row.key) for row in answer.rows}
            # What the peer lacks is no reason to pull, but one to know of the difference.
            found.update({key: (row, b"") for key, row in mine.items() if key not in theirs})
        return found, clock

    async def _but_for(self, found: Differences, apart: Iterable[Refused]) -> Differences:
        """Differences but for those that entries make which one side keeps apart."""
        if not found:
            return found
        named = {(one.origin, one.seq) for one in apart if one.code in _LEGITIMATE}
        rows = await self._store.quarantined(_QUARANTINE_MAX)
        named.update((one.origin, one.seq) for one in rows if one.code in _LEGITIMATE)
        ids: set[str] = set()
        for origin, seq in named:
            try:
                entries = await self._store.log_after(origin, seq - 1, 1)
            except LogTruncatedError:  # forgotten: what it spoke of cannot be told any more
                continue
            ids.update(one for entry in entries for one in entry.entity_ids)
        return {
            key: hashes for key, hashes in found.items() if not any(one in key.key for one in ids)
        }

    async def _repair(self, lane: Lane, found: Differences, *, quietly: bool) -> None:
        """Join what differs, and raise the alarm unless it was to be expected."""
        if not (found and quietly):
            self._decide(lane, is_equal=not found, rows=len(found))
        wanted = [key for key, (_, theirs) in found.items() if theirs]
        changed = 0
        for start in range(0, len(wanted), STATES_AT_ONCE):
            part = wanted[start : start + STATES_AT_ONCE]
            answer = await lane.line.ask(
                Method.STATES,
                StatesAsked(self._here.node_id, [(one.kind, one.key) for one in part]),
                States,
            )
            asked = set(part)
            changed += await self._store.join_states(
                [one for one in answer.states if (one.kind, one.key) in asked]
            )
        if changed:
            self.counts.repairs += 1
            self.counts.rows += changed
            self.counts.buckets += len({bucket_of(key) for key in wanted})
            _LOGGER.warning("%d states were repaired from %s", changed, lane.url)

    def _decide(self, lane: Lane, *, is_equal: bool, rows: int = 0) -> None:
        known = self.of(lane.url)
        was_alarmed = known.is_equal is False
        known.is_equal = is_equal
        known.at = asyncio.get_running_loop().time()
        if was_alarmed == is_equal:
            if is_equal:
                _LOGGER.info("the states of %s are equal to those here again", lane.url)
            else:
                _LOGGER.error(
                    "%d states differ from those of %s though both have the same entries",
                    *(rows, lane.url),
                )


def _behind(one: Mapping[str, int], other: Mapping[str, int]) -> int:
    """How many entries of `other` are not in `one`."""
    return sum(max(0, seq - one.get(origin, 0)) for origin, seq in other.items())

"""A store's side of replication, told once for every adapter."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar, cast

from typing_extensions import override

from app.log.hlc import HLC_MAX
from app.log.projection import Snapshot, snapshot
from app.log.state import EntityKey
from app.store.protocol import NO_VETOES
from app.store.writing import forgetting, log_reads, members, state_reads
from app.store.writing.aside import RetryJob
from app.store.writing.dropping import DropJob
from app.store.writing.foreign import ForeignJob
from app.store.writing.joining import JoinJob
from app.store.writing.log_tail import LogTail
from app.store.writing.members import NoteJob
from app.store.writing.mending import MendJob
from app.store.writing.renewal import Renewal
from app.store.writing.stored import StoredStates
from app.store.writing.submissions import SubmittingStore
from app.store.writing.truncating import TruncateJob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from app.log.cursor import VectorClock
    from app.log.entry import Entry
    from app.log.epochs import EpochReason, Identity
    from app.store.replica import (
        ForeignOutcome,
        Head,
        LogRun,
        MemberRow,
        OriginHead,
        QuarantinedRow,
        SignedHead,
        State,
        StateRow,
        StateVector,
        VectorRow,
        Veto,
    )
    from app.store.writing.flush import FlushReport
    from app.store.writing.port import Reader

T = TypeVar("T")


class ReplicatingStore(SubmittingStore):
    """What every adapter's store does for other nodes."""

    _store_id: str

    def __init__(self) -> None:
        self._tail = LogTail()

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Who this node writes as now."""

    @abstractmethod
    async def _read(self, work: Callable[[Reader], T]) -> T:
        """Run a read in one snapshot, off the event loop."""

    async def _read_long(self, work: Callable[[Reader], T]) -> T:
        """The same for reads that take long; an adapter may give them a thread of their own."""
        return await self._read(work)

    @abstractmethod
    def _committed(self, report: FlushReport) -> None:
        """In the writer's thread, after each batch: for caches beside the store."""

    def _after_commit(self, report: FlushReport) -> None:
        own = self.identity.origin
        self._tail.add([one for one in report.entries if one.origin == own])
        if report.purged:
            self._tail.forget()
        self._committed(report)
        if report.entries:
            self._submissions.tell_watchers()

    @property
    @override
    def store_id(self) -> str:
        """Which store this is."""
        return self._store_id

    @override
    def watch_log(self, notify: Callable[[], None]) -> None:
        """Call `notify` on the event loop after commits that appended entries."""
        self._submissions.watch(notify)

    @override
    async def heads(self) -> Sequence[OriginHead]:
        """The end of every origin's chain."""
        return await self._read(lambda reader: log_reads.heads(reader, self.identity.origin))

    @override
    async def clock(self) -> VectorClock:
        """What is applied here."""
        return await self._read(log_reads.clock)

    @override
    async def log_run(self, origin: str, after: int, max_bytes: int) -> LogRun | None:
        """The next entries of one origin; of the own log mostly without a read."""
        if self._tail.ends_at(origin, after):
            return None
        found = self._tail.run(origin, after, max_bytes)
        if found is not None:
            return found
        signed = origin != self.identity.origin
        return await self._read(
            lambda reader: log_reads.log_run(reader, origin, after, max_bytes, signed=signed)
        )

    @override
    async def log_after(self, origin: str, seq: int, limit: int) -> Sequence[Entry]:
        """Entries of one origin, in order."""
        return await self._read(lambda reader: log_reads.log_after(reader, origin, seq, limit))

    @override
    async def applied_after(self, apply_no: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """Entries in local order, as far as this node alone writes.

        Where several nodes write to one store, another's batch may add one below a number that was
        seen: follow origins instead.
        """
        return await self._read(lambda reader: log_reads.applied_after(reader, apply_no, limit))

    @override
    async def quarantined(self, limit: int) -> Sequence[QuarantinedRow]:
        """Entries that wait."""
        return await self._read(lambda reader: log_reads.quarantined(reader, limit))

    @override
    async def quarantined_count(self) -> int:
        """How many wait."""
        return await self._read(log_reads.quarantined_count)

    # -- taking ----------------------------------------------------------------------------

    @override
    async def append_foreign(
        self,
        entries: Sequence[Entry],
        *,
        signed: Sequence[SignedHead] = (),
        vetoes: Mapping[tuple[str, int], Veto] = NO_VETOES,
    ) -> ForeignOutcome:
        """Append a peer's entries."""
        outcome = await self._submissions.run(
            lambda done: ForeignJob(entries, done, signed, vetoes)
        )
        return cast("ForeignOutcome", outcome)

    @override
    async def retry_quarantine(self, *, is_new_release: bool = False) -> int:
        """Apply entries whose time has come."""
        return cast("int", await self._submissions.run(lambda done: RetryJob(done, is_new_release)))

    @override
    async def renew_origin(self, reason: EpochReason, used_epochs: Mapping[str, int]) -> str:
        """Write under a new epoch from now on."""
        origin = await self._submissions.run(lambda done: Renewal(reason, used_epochs, done))
        return cast("str", origin)

    @override
    async def truncate_log(self, floors: Mapping[str, int], before: int = HLC_MAX) -> int:
        """Forget entries, in steps that let other writes in between."""
        forgotten = 0
        while step := cast(
            "int", await self._submissions.run(lambda done: TruncateJob(floors, done, before))
        ):
            forgotten += step
        if forgotten:
            self._tail.forget()
        return forgotten

    @override
    async def followed(self) -> Mapping[str, int]:
        """What is made from the log is made in the transaction that appends to it."""
        return {}

    @override
    async def join_states(
        self,
        rows: Sequence[State],
        *,
        vectors: Sequence[StateVector] = (),
        heads: Sequence[Head] = (),
    ) -> int:
        """Join whole states into those here."""
        changed = await self._submissions.run(lambda done: JoinJob(rows, vectors, heads, done))
        return cast("int", changed)

    @override
    async def mend(self, rows: Sequence[State]) -> int:
        """Put states in the place of damaged rows."""
        return cast("int", await self._submissions.run(lambda done: MendJob(rows, done)))

    @override
    async def drop_states(self, rows: Sequence[StateRow]) -> int:
        """Take away memories that every other node has forgotten."""
        return cast("int", await self._submissions.run(lambda done: DropJob(rows, done)))

    @override
    async def tombstone_floor(self) -> int:
        """The clock below which the dead are forgotten."""
        return await self._read(forgetting.tombstone_floor)

    @override
    async def oldest_tombstones(self, below: int, limit: int) -> Sequence[int]:
        """The clocks of the oldest deaths."""
        return await self._read_long(
            lambda reader: forgetting.oldest_tombstones(reader, below, limit)
        )

    @override
    async def note_cursors(self, cursors: Mapping[str, Mapping[str, int]]) -> None:
        """Remember how far members have come."""
        await self._submissions.run(lambda done: NoteJob(cursors, done))

    # -- states and members ----------------------------------------------------------------

    @override
    async def bucket_rows(self, buckets: Collection[int]) -> Sequence[tuple[EntityKey, bytes]]:
        """Keys and hashes of every state in some buckets."""
        return await self._read_long(lambda reader: state_reads.bucket_rows(reader, buckets))

    @override
    async def states_after(
        self, after: tuple[str, str] | None, max_bytes: int
    ) -> Sequence[StateRow]:
        """The next states in the order of (kind, key)."""
        return await self._read_long(
            lambda reader: state_reads.states_after(reader, after, max_bytes)
        )

    @override
    async def states_of(self, keys: Sequence[EntityKey]) -> Sequence[StateRow]:
        """Those that exist."""
        return await self._read(lambda reader: state_reads.states_of(reader, keys))

    @override
    async def vectors_of(self, ids: Sequence[str]) -> Sequence[VectorRow]:
        """The vectors of those memories that have one."""
        return await self._read(lambda reader: state_reads.vectors_of(reader, ids))

    @override
    async def members(self) -> Sequence[MemberRow]:
        """Who belongs, or belonged, to the fleet."""
        return await self._read(members.members)

    @override
    async def member_cursors(self) -> Mapping[str, Mapping[str, int]]:
        """How far each member has come."""
        return await self._read(members.cursors)

    @override
    async def snapshot(self, memory_id: str) -> Snapshot | None:
        """The merged state of one memory."""
        return await self._read(lambda reader: _snapshot(reader, memory_id))


def _snapshot(reader: Reader, memory_id: str) -> Snapshot | None:
    key = EntityKey("memory", memory_id)
    cells = StoredStates(reader).load_states([key]).get(key)
    return snapshot(memory_id, cells) if cells is not None else None

"""A peer's entries: checked, applied in order, or put aside with the reason.

The receive cursor passes an entry that is durably in quarantine, so one bad
entry does not stop its origin. A gap stops it: what is missing must come first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import EntryRefusedError
from app.domain.timestamps import format_instant, from_epoch_milliseconds
from app.log.canonical import decode, encode
from app.log.entry import GENESIS_HASH, Entry, decode_payload, follows, open_entry
from app.log.hlc import MAX_OFFSET_MS, HlcTooFarAheadError, Stamp, wall_milliseconds
from app.log.kinds import KINDS
from app.log.quarantine import RefusalCode
from app.store.protocol import ForeignOutcome, Needs, Refusal
from app.store.tables import log_origins, log_quarantine
from app.store.writing.flush import HEADS
from app.store.writing.statements import Change, Delete, Insert, Keep, Query, Replace, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.log.canonical import Value
    from app.store.writing.batch import Batch

_RETRIED_MAX: Final = 500
_DUE: Final = Query(
    "SELECT origin, seq, entry FROM log_quarantine"
    " WHERE retry_at IS NOT NULL AND retry_at <= ? ORDER BY retry_at LIMIT ?"
)
_NEVER: Final = Change(
    "UPDATE log_quarantine SET retry_at = NULL, detail = ? WHERE origin = ? AND seq = ?"
)
_SETTLED: Final = Delete(log_quarantine, ("origin", "seq"))
_KNOWN: Final = Query("SELECT hash FROM log_entries WHERE origin_no = ? AND seq = ?")
_QUARANTINE_COLUMNS: Final = (
    "origin",
    "seq",
    "code",
    "detail",
    "entry",
    "received_at",
    "retry_at",
)
_PUT_ASIDE: Final = Insert(
    log_quarantine,
    _QUARANTINE_COLUMNS,
    Replace(_QUARANTINE_COLUMNS[:2], _QUARANTINE_COLUMNS[2:]),
)
_NEW_ORIGIN: Final = Insert(
    log_origins, ("origin", "is_self", "head_seq", "head_hash", "head_hlc"), Keep()
)
_ORIGIN: Final = Select(
    log_origins,
    ("origin_no", "is_self", "head_seq", "head_hash", "head_hlc"),
    ("origin",),
    for_change=True,
)


@dataclass(slots=True)
class ForeignJob:
    """A batch of foreign entries in the writer's queue."""

    entries: Sequence[Entry]
    done: Callable[[ForeignOutcome | Exception], None]
    outcome: ForeignOutcome | None = field(default=None, init=False)

    @property
    def needs(self) -> Needs:
        """The states that the entries name."""
        ids = dict.fromkeys(one for entry in self.entries for one in entry.entity_ids)
        return Needs(memories=tuple(ids))

    def run(self, batch: Batch) -> None:
        """Apply what can be applied, per origin in order."""
        run = _Run(batch)
        for entry in self.entries:
            run.take(entry)
        self.outcome = run.outcome()

    def succeed(self) -> None:
        """Answer with the outcome."""
        self.done(cast("ForeignOutcome", self.outcome))

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


@dataclass(slots=True)
class RetryJob:
    """Entries that were put aside for a future stamp whose time has come."""

    done: Callable[[int | Exception], None]
    applied: int = field(default=0, init=False)

    @property
    def needs(self) -> Needs:
        """Nothing up front: what is due is asked in the transaction."""
        return Needs()

    def run(self, batch: Batch) -> None:
        """Apply what is due; the entries themselves are in the log already."""
        self.applied = 0
        due = batch.transaction.read(_DUE, (batch.now, _RETRIED_MAX))
        for origin, seq, stored in due:
            entry = _stored_entry(cast("bytes", stored))
            try:
                batch.observe(entry.hlc)
                batch.workspace.apply(
                    entry.kind, decode_payload(entry), Stamp(entry.hlc, entry.origin)
                )
            except (HlcTooFarAheadError, EntryRefusedError) as error:
                batch.transaction.write(_NEVER, [(str(error), origin, seq)])
                continue
            batch.transaction.write(_SETTLED, [(origin, seq)])
            self.applied += 1

    def succeed(self) -> None:
        """Answer with how many were applied."""
        self.done(self.applied)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


def _stored_entry(stored: bytes) -> Entry:
    fields = cast("dict[str, bytes]", decode(stored))
    return open_entry(fields["header"], fields["payload"], fields["payload_hash"], fields["hash"])


@dataclass(slots=True)
class _Cursor:
    origin_no: int
    is_self: bool
    seq: int
    hash: bytes
    hlc: int
    stopped: bool = False


class _Run:
    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._cursors: dict[str, _Cursor] = {}
        self._refused: list[Refusal] = []
        self._applied = 0

    def take(self, entry: Entry) -> None:
        cursor = self._cursor(entry.origin)
        if cursor.is_self or cursor.stopped:
            return
        if entry.seq <= cursor.seq:
            self._check_known(cursor, entry)
            return
        if entry.seq != cursor.seq + 1:
            cursor.stopped = True
            return
        if not follows(entry, cursor.hash):
            # Without its chain the entry cannot be placed: the origin must send again.
            self._quarantine(
                entry, RefusalCode.BROKEN_CHAIN, "the hash does not continue the chain", None
            )
            cursor.stopped = True
            return
        self._append(cursor, entry)

    def outcome(self) -> ForeignOutcome:
        self._batch.transaction.write(
            HEADS,
            [
                (cursor.origin_no, cursor.seq, cursor.hash, cursor.hlc)
                for cursor in self._cursors.values()
                if not cursor.is_self
            ],
        )
        decided = {origin: cursor.seq for origin, cursor in self._cursors.items()}
        return ForeignOutcome(decided, self._refused, self._applied)

    def _append(self, cursor: _Cursor, entry: Entry) -> None:
        self._batch.entries.append((cursor.origin_no, entry))
        cursor.seq, cursor.hash = entry.seq, entry.hash
        try:
            self._batch.observe(entry.hlc)
        except HlcTooFarAheadError:
            due = from_epoch_milliseconds(wall_milliseconds(entry.hlc) - MAX_OFFSET_MS)
            self._quarantine(
                entry, RefusalCode.FUTURE_STAMP, "the stamp lies in the future", format_instant(due)
            )
            return
        cursor.hlc = max(cursor.hlc, entry.hlc)
        if entry.payload is None or entry.kind not in KINDS:
            return  # a hole, or a kind of a newer version: kept and forwarded
        try:
            self._batch.workspace.apply(
                entry.kind, decode_payload(entry), Stamp(entry.hlc, entry.origin)
            )
        except EntryRefusedError as error:
            reason = str(error.details.get("reason", error.code))
            self._quarantine(entry, reason, error.message, None)
            return
        self._applied += 1

    def _check_known(self, cursor: _Cursor, entry: Entry) -> None:
        found = self._batch.transaction.read(_KNOWN, (cursor.origin_no, entry.seq))
        known = found[0][0] if found else None
        if known is None:
            known = next(
                (
                    one.hash
                    for no, one in self._batch.entries
                    if no == cursor.origin_no and one.seq == entry.seq
                ),
                None,
            )
        if known is not None and known != entry.hash:
            self._quarantine(entry, RefusalCode.FORK, "another entry has this number", None)
            cursor.stopped = True

    def _quarantine(self, entry: Entry, code: str, detail: str, retry_at: str | None) -> None:
        stored: dict[str, Value] = {
            "header": entry.header,
            "payload": entry.payload,
            "payload_hash": entry.payload_hash,
            "hash": entry.hash,
        }
        row = (entry.origin, entry.seq, code, detail, encode(stored), self._batch.now, retry_at)
        self._batch.transaction.write(_PUT_ASIDE, [row])
        self._refused.append(Refusal(entry.origin, entry.seq, code))

    def _cursor(self, origin: str) -> _Cursor:
        found = self._cursors.get(origin)
        if found is not None:
            return found
        transaction = self._batch.transaction
        transaction.write(_NEW_ORIGIN, [(origin, 0, 0, GENESIS_HASH, 0)])
        (row,) = transaction.read(_ORIGIN, [(origin,)])
        no, is_self, seq, digest, hlc = cast("tuple[int, int, int, bytes | None, int]", row)
        found = _Cursor(no, bool(is_self), seq, digest or GENESIS_HASH, hlc)
        self._cursors[origin] = found
        return found

"""The quarantine: entries that are kept apart, and those whose time has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import EntryRefusedError
from app.domain.timestamps import format_instant, from_epoch_milliseconds
from app.log.canonical import decode, encode
from app.log.entry import Entry, decode_payload, open_entry
from app.log.hlc import HlcTooFarAheadError, Stamp, wall_milliseconds
from app.log.quarantine import BOUND_TO_RELEASE, RefusalCode, passes_cursor
from app.store.protocol import Needs, Refusal
from app.store.tables import log_quarantine
from app.store.writing.statements import Change, Delete, Insert, Keep, Query, Replace, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.log.canonical import Value
    from app.store.writing.batch import Batch

_RETRIED_MAX: Final = 500
_DUE: Final = Query(
    "SELECT origin, seq, entry FROM log_quarantine"
    " WHERE retry_at IS NOT NULL AND retry_at <= ? ORDER BY retry_at LIMIT ?"
)
_UNDERSTOOD_LATER: Final = Query(
    "SELECT origin, seq, entry FROM log_quarantine WHERE code = ? ORDER BY origin, seq"
)
_NEVER: Final = Change(
    "UPDATE log_quarantine SET retry_at = NULL, detail = ? WHERE origin = ? AND seq = ?"
)
_LATER: Final = Change("UPDATE log_quarantine SET retry_at = ? WHERE origin = ? AND seq = ?")
_SETTLED: Final = Delete(log_quarantine, ("origin", "seq"))
_WAITING: Final = Select(log_quarantine, ("origin", "seq", "code"), ("origin", "seq"))
_COLUMNS: Final = ("origin", "seq", "code", "detail", "entry", "received_at", "retry_at")
_OUTSIDE_LOG: Final = frozenset(one.value for one in RefusalCode if not passes_cursor(one))
_PUT: Final = Insert(log_quarantine, _COLUMNS, Replace(_COLUMNS[:2], _COLUMNS[2:]))
# An entry that is not in the log must not take the place of the true one's row.
_PUT_BESIDE: Final = Insert(log_quarantine, _COLUMNS, Keep())


def put_aside(
    batch: Batch, entry: Entry, code: str, detail: str, retry_at: str | None = None
) -> Refusal:
    """Keep an entry apart; with a time, until then."""
    stored: dict[str, Value] = {
        "header": entry.header,
        "payload": entry.payload,
        "payload_hash": entry.payload_hash,
        "hash": entry.hash,
    }
    row = (entry.origin, entry.seq, code, detail, encode(stored), batch.now, retry_at)
    batch.write_later(_PUT_BESIDE if code in _OUTSIDE_LOG else _PUT, row)
    return Refusal(entry.origin, entry.seq, code)


def when_near(batch: Batch, hlc: int) -> str:
    """When this node's clock will be near enough to a stamp that lies in the future."""
    return format_instant(from_epoch_milliseconds(wall_milliseconds(hlc) - batch.max_offset_ms))


def waiting(batch: Batch, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], str]:
    """(origin, number) → code of those entries of the log among `places` that are kept apart."""
    found = batch.transaction.read(_WAITING, places)
    found.extend(row[:3] for row in batch.written_later(_PUT))
    return {
        (cast("str", origin), cast("int", seq)): cast("str", code)
        for origin, seq, code in found
        if code not in _OUTSIDE_LOG
    }


@dataclass(slots=True)
class RetryJob:
    """Entries that were put aside and whose time has come.

    With `is_new_release` those, too, that an older release may not have understood.
    """

    done: Callable[[int | Exception], None]
    is_new_release: bool = False
    applied: int = field(default=0, init=False)

    @property
    def needs(self) -> Needs:
        """Nothing up front: what is due is asked in the transaction."""
        return Needs()

    @property
    def weight(self) -> int:
        """Rarely anything."""
        return 1

    def run(self, batch: Batch) -> None:
        """Apply what is due; the entries themselves are in the log already."""
        self.applied = 0
        due = list(batch.transaction.read(_DUE, (batch.now, _RETRIED_MAX)))
        if self.is_new_release:
            for code in BOUND_TO_RELEASE:
                due += batch.transaction.read(_UNDERSTOOD_LATER, (code.value,))
        for origin, seq, stored in due:
            entry = _stored_entry(cast("bytes", stored))
            try:
                batch.observe(entry.hlc)
                batch.workspace.apply(
                    entry.kind, decode_payload(entry), Stamp(entry.hlc, entry.origin)
                )
            except HlcTooFarAheadError:  # it waits since more was tolerated than now
                batch.write_later(_LATER, (when_near(batch, entry.hlc), origin, seq))
                continue
            except EntryRefusedError as error:
                batch.write_later(_NEVER, (str(error), origin, seq))
                continue
            batch.write_later(_SETTLED, (origin, seq))
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

"""Reading the log: heads, runs, and what it would take to go on from somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.cursor import VectorClock
from app.log.entry import GENESIS_HASH, Entry, open_entry
from app.store.replica import LogRun, LogTruncatedError, OriginHead, QuarantinedRow
from app.store.writing.log_tail import entry_bytes, within
from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.writing.port import Reader, Row

_FIRST_ROWS: Final = 64
_ROWS_MAX: Final = 1024
_HEADS: Final = Query(
    "SELECT origin, head_seq, head_hash, head_hlc, floor_seq FROM log_origins ORDER BY origin"
)
_CLOCK: Final = Query("SELECT origin, head_seq FROM log_origins")
_STORE_ID: Final = Query("SELECT store_id FROM store_identity WHERE id = 1")
_ORIGIN: Final = Query("SELECT origin_no, floor_seq, floor_hash FROM log_origins WHERE origin = ?")
_AFTER: Final = Query(
    "SELECT header, payload, payload_hash, hash FROM log_entries"
    " WHERE origin_no = ? AND seq > ? ORDER BY seq LIMIT ?"
)
_HASH: Final = Query("SELECT hash FROM log_entries WHERE origin_no = ? AND seq = ?")
_SIGNED: Final = Query(
    "SELECT seq, signature FROM log_signatures WHERE origin_no = ? AND seq > ? AND seq <= ?"
    " ORDER BY seq DESC LIMIT 1"
)
_APPLIED: Final = Query(
    "SELECT apply_no, header, payload, payload_hash, hash FROM log_entries"
    " WHERE apply_no > ? ORDER BY apply_no LIMIT ?"
)
# What stopped a cursor that has passed since came again in good order; a fork is there to stay.
_RESOLVED: Final = (
    "q.code IN ('payload_mismatch', 'broken_chain', 'bad_signature', 'gap') AND q.seq <= o.head_seq"
)
_WAITING: Final = (
    " FROM log_quarantine AS q LEFT JOIN log_origins AS o ON o.origin = q.origin"
    f" WHERE o.origin IS NULL OR NOT ({_RESOLVED})"
)
_QUARANTINED: Final = Query(
    "SELECT q.origin, q.seq, q.code, q.detail, q.received_at, q.retry_at"
    f"{_WAITING} ORDER BY q.received_at DESC, q.origin, q.seq LIMIT ?"
)
_QUARANTINED_COUNT: Final = Query(f"SELECT count(*){_WAITING}")


def store_id(reader: Reader) -> str:
    """Which store this is."""
    return cast("str", reader.read(_STORE_ID, ())[0][0])


def clock(reader: Reader) -> VectorClock:
    """See `Replica.clock`."""
    return VectorClock(dict(cast("list[tuple[str, int]]", reader.read(_CLOCK, ()))))


def heads(reader: Reader, own: str) -> Sequence[OriginHead]:
    """See `Replica.heads`; `own` is the origin that this node writes under."""
    rows = cast("list[tuple[str, int, bytes | None, int, int]]", reader.read(_HEADS, ()))
    return [
        OriginHead(origin, seq, digest or GENESIS_HASH, hlc, floor, is_self=origin == own)
        for origin, seq, digest, hlc, floor in rows
    ]


def log_after(reader: Reader, origin: str, seq: int, limit: int) -> Sequence[Entry]:
    """See `Replica.log_after`."""
    found = _Log.find(reader, origin, seq)
    return [] if found is None else found.entries(seq, limit)


def log_run(
    reader: Reader, origin: str, after: int, bytes_max: int, *, signed: bool
) -> LogRun | None:
    """See `Replica.log_run`. `signed`: end it where the origin's signature allows it."""
    log = _Log.find(reader, origin, after)
    entries = () if log is None else log.page(after, bytes_max)
    if log is None or not entries:
        return None
    signature = None
    if signed and (found := log.signature(after, entries[-1].seq)) is not None:
        last, signature = found
        entries = entries[: last - after]
    return LogRun(origin, after, log.hash_at(after), entries, signature)


class _Log:
    """One origin's entries."""

    def __init__(self, reader: Reader, no: int, floor: int, floor_hash: bytes) -> None:
        self._reader = reader
        self._no = no
        self._floor = floor
        self._floor_hash = floor_hash

    @classmethod
    def find(cls, reader: Reader, origin: str, after: int) -> _Log | None:
        """None if nobody has heard of the origin.

        Raises:
            LogTruncatedError: `after` lies below its floor.
        """
        rows = reader.read(_ORIGIN, (origin,))
        if not rows:
            return None
        no, floor, floor_hash = cast("tuple[int, int, bytes | None]", rows[0])
        if after < floor:
            raise LogTruncatedError(
                f"the log of {origin} begins after {floor} here", origin=origin, floor=floor
            )
        return cls(reader, no, floor, floor_hash or GENESIS_HASH)

    def entries(self, after: int, limit: int) -> list[Entry]:
        return [_entry(row) for row in self._reader.read(_AFTER, (self._no, after, limit))]

    def page(self, after: int, bytes_max: int) -> tuple[Entry, ...]:
        """About as many as fit; long ones are not read in great numbers."""
        found: list[Entry] = []
        left, size = bytes_max, _FIRST_ROWS
        while left > 0:
            more = self.entries(found[-1].seq if found else after, size)
            found += more
            left -= sum(map(entry_bytes, more))
            if len(more) < size:
                break
            size = max(1, min(_ROWS_MAX, left * len(found) // max(bytes_max - left, 1)))
        return within(found, 0, bytes_max)

    def signature(self, after: int, last: int) -> tuple[int, bytes] | None:
        """The highest one over an entry after `after`, up to `last`."""
        rows = self._reader.read(_SIGNED, (self._no, after, last))
        return cast("tuple[int, bytes]", rows[0]) if rows else None

    def hash_at(self, seq: int) -> bytes:
        """The hash of an entry, which must be here or the floor."""
        if seq == self._floor:
            return self._floor_hash
        return cast("bytes", self._reader.read(_HASH, (self._no, seq))[0][0])


def applied_after(reader: Reader, apply_no: int, limit: int) -> Sequence[tuple[int, Entry]]:
    """See `Replica.applied_after`."""
    rows = reader.read(_APPLIED, (apply_no, limit))
    return [(cast("int", row[0]), _entry(row[1:])) for row in rows]


def quarantined(reader: Reader, limit: int) -> Sequence[QuarantinedRow]:
    """See `Replica.quarantined`."""
    rows = reader.read(_QUARANTINED, (limit,))
    return [QuarantinedRow(*cast("tuple[str, int, str, str, str, str]", row)) for row in rows]


def quarantined_count(reader: Reader) -> int:
    """See `Replica.quarantined_count`."""
    return cast("int", reader.read(_QUARANTINED_COUNT, ())[0][0])


def _entry(row: Row) -> Entry:
    header, payload, payload_hash, digest = cast("tuple[bytes, bytes | None, bytes, bytes]", row)
    return open_entry(header, payload, payload_hash, digest)

"""The ends of other origins' logs in one batch: read at once, moved in memory, written once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from app.log.entry import GENESIS_HASH
from app.store.tables import log_origins
from app.store.writing.statements import Insert, Keep, Select, Update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.store.writing.port import Transaction

_COLUMNS: Final = (
    "origin",
    "origin_no",
    "is_self",
    "head_seq",
    "head_hash",
    "head_hlc",
    "floor_seq",
    "floor_hash",
)
_FOUND: Final = Select(log_origins, _COLUMNS, ("origin",), for_change=True)
_NEW: Final = Insert(
    log_origins, ("origin", "is_self", "head_seq", "head_hash", "head_hlc"), Keep()
)
HEADS: Final = Update(log_origins, "origin_no", ("head_seq", "head_hash", "head_hlc"))
"""The ends of origins' chains."""
_FLOORS: Final = Update(log_origins, "origin_no", ("floor_seq", "floor_hash"))


@dataclass(frozen=True, slots=True)
class End:
    """One origin's log as this batch leaves it. `is_self`: a node writes it into this very store.

    Entries up to `floor_seq` are not kept, and `floor_hash` is the hash of the last of them.
    """

    origin: str
    origin_no: int
    is_self: bool
    seq: int
    hash: bytes
    hlc: int
    floor_seq: int
    floor_hash: bytes


class OriginLedger:
    """The ends of the origins that a batch is about."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._stored: dict[str, End] = {}
        self._ends: dict[str, End] = {}

    def prefetch(self, origins: Iterable[str]) -> None:
        """Read, and lock, those not read yet; new ones begin here."""
        wanted = [(one,) for one in sorted(set(origins)) if one not in self._ends]
        if not wanted:
            return
        self._read(wanted)
        new = [one for one in wanted if one[0] not in self._ends]
        if new:
            self._transaction.write(_NEW, [(one, 0, 0, GENESIS_HASH, 0) for (one,) in new])
            self._read(new)

    def _read(self, wanted: list[tuple[str]]) -> None:
        for row in self._transaction.read(_FOUND, wanted):
            origin, no, is_self, seq, digest, hlc, floor_seq, floor_hash = cast(
                "tuple[str, int, int, int, bytes | None, int, int, bytes | None]", row
            )
            self._stored[origin] = self._ends[origin] = End(
                origin,
                no,
                bool(is_self),
                seq,
                digest or GENESIS_HASH,
                hlc,
                floor_seq,
                floor_hash or GENESIS_HASH,
            )

    def end(self, origin: str) -> End:
        """Where an origin's log ends now."""
        if origin not in self._ends:
            self.prefetch([origin])
        return self._ends[origin]

    def known(self, origins: Iterable[str]) -> list[End]:
        """The ends of those that this store has heard of."""
        wanted = sorted(set(origins))
        self._read([(one,) for one in wanted if one not in self._ends])
        return [self._ends[one] for one in wanted if one in self._ends]

    def move(self, end: End) -> None:
        """A log that is longer, or begins later."""
        self._ends[end.origin] = end

    def flush(self) -> None:
        """Write what moved."""
        moved = [(self._stored[one.origin], one) for one in self._ends.values()]
        self._transaction.write(
            HEADS,
            [
                (new.origin_no, new.seq, new.hash, new.hlc)
                for old, new in moved
                if old.seq < new.seq
            ],
        )
        self._transaction.write(
            _FLOORS,
            [
                (new.origin_no, new.floor_seq, new.floor_hash)
                for old, new in moved
                if old.floor_seq < new.floor_seq
            ],
        )

"""A peer's entries: checked, applied in order, or put aside with the reason.

The receive cursor passes an entry that is durably in quarantine, so one bad
entry does not stop its origin. A gap stops it: what is missing must come first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from app.domain.errors import EntryRefusedError
from app.log.entry import Entry, decode_payload, follows
from app.log.forgetting import is_forgotten, makes
from app.log.hlc import HlcTooFarAheadError, Stamp
from app.log.kinds import KINDS
from app.log.names import Name
from app.log.quarantine import RefusalCode
from app.log.registers import Written
from app.log.workspace import Writes, writes_of
from app.store.protocol import NO_VETOES, ForeignOutcome, Needs, Refusal, SignedHead, Veto
from app.store.tables import log_entries, log_signatures
from app.store.writing.aside import put_aside, waiting, when_near
from app.store.writing.statements import Insert, Keep, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.log.kinds.effect import Effect
    from app.store.writing.batch import Batch
    from app.store.writing.origins import End

_KNOWN: Final = Select(log_entries, ("origin_no", "seq", "hash"), ("origin_no", "seq"))
_SIGNATURE: Final = Insert(log_signatures, ("origin_no", "seq", "signature"), Keep())

Place: TypeAlias = "tuple[str, int]"
Prepared: TypeAlias = "Writes | EntryRefusedError | None"
"""What an entry writes, why it may not, or nothing."""


@dataclass(slots=True)
class ForeignJob:
    """A batch of foreign entries in the writer's queue."""

    entries: Sequence[Entry]
    done: Callable[[ForeignOutcome | Exception], None]
    signed: Sequence[SignedHead] = ()
    vetoes: Mapping[Place, Veto] = field(default_factory=lambda: NO_VETOES)
    outcome: ForeignOutcome | None = field(default=None, init=False)
    _prepared: list[Prepared] | None = field(default=None, init=False)

    @property
    def needs(self) -> Needs:
        """All that the entries write, and the names that they claim."""
        effects = [
            effect for one in self.prepared if isinstance(one, Writes) for effect in one.effects
        ]
        named = (
            effect.cells["name"]
            for effect in effects
            if effect.key.kind == "memory" and "name" in effect.cells
        )
        return Needs(
            keys=[effect.key for effect in effects],
            names=[_name(cell) for cell in named if isinstance(cell, Written)],
            origins=[entry.origin for entry in self.entries],
        )

    @property
    def prepared(self) -> Sequence[Prepared]:
        """What each entry writes. Decoded once, however often the batch runs."""
        if self._prepared is None:
            self._prepared = [
                None if (one.origin, one.seq) in self.vetoes else _prepared(one)
                for one in self.entries
            ]
        return self._prepared

    @property
    def weight(self) -> int:
        """Each entry is as much work as a command."""
        return len(self.entries)

    def run(self, batch: Batch) -> None:
        """Apply what can be applied, per origin in order."""
        run = _Run(batch, self.vetoes)
        run.look_up(self.entries)
        for entry, prepared in zip(self.entries, self.prepared, strict=True):
            batch.turns.step()
            run.take(entry, prepared)
        self.outcome = run.outcome(self.signed)

    def succeed(self) -> None:
        """Answer with the outcome."""
        self.done(cast("ForeignOutcome", self.outcome))

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


def _prepared(entry: Entry) -> Prepared:
    if entry.payload is None or entry.kind not in KINDS:
        return None  # a hole, or a kind of a newer version: kept and forwarded
    try:
        return writes_of(entry.kind, decode_payload(entry), Stamp(entry.hlc, entry.origin))
    except EntryRefusedError as error:
        return error


def _name(cell: Written) -> Name:
    return Name(*cast("list[str]", cell.value))


class _Cursor:
    """Where one origin's part of the batch has come to."""

    __slots__ = ("end", "hash", "hlc", "seq", "stopped")

    def __init__(self, end: End) -> None:
        self.end = end
        self.seq, self.hash, self.hlc = end.seq, end.hash, end.hlc
        self.stopped = False


class _Run:
    def __init__(self, batch: Batch, vetoes: Mapping[Place, Veto]) -> None:
        self._batch = batch
        self._vetoes = vetoes
        self._cursors: dict[str, _Cursor] = {}
        self._known: dict[Place, bytes] = {}
        self._waiting: Mapping[Place, str] = {}
        self._refused: list[Refusal] = []
        self._applied = 0

    def look_up(self, entries: Sequence[Entry]) -> None:
        """Find the ends of the logs, and what is here of these entries."""
        for origin in dict.fromkeys(one.origin for one in entries):
            self._cursors[origin] = _Cursor(self._batch.origins.end(origin))
        here = [one for one in entries if one.seq <= self._cursors[one.origin].seq]
        if not here:
            return
        numbers = {self._cursors[one.origin].end.origin_no: one.origin for one in here}
        places = [(self._cursors[one.origin].end.origin_no, one.seq) for one in here]
        for no, seq, digest in self._batch.transaction.read(_KNOWN, places):
            origin = numbers[cast("int", no)]
            self._known[origin, cast("int", seq)] = cast("bytes", digest)
        for no, entry in self._batch.entries:
            if no in numbers:
                self._known[entry.origin, entry.seq] = entry.hash
        self._waiting = waiting(self._batch, [(one.origin, one.seq) for one in here])

    def take(self, entry: Entry, prepared: Prepared) -> None:
        cursor = self._cursors[entry.origin]
        if cursor.stopped:
            return
        if entry.seq <= cursor.seq:
            self._check_known(cursor, entry)
        elif cursor.end.is_self:
            return  # what a node writes here comes from nowhere else
        elif entry.seq != cursor.seq + 1:
            cursor.stopped = True
        elif not follows(entry, cursor.hash):
            # Without its chain the entry cannot be placed: the origin must send again.
            self._stop(cursor, entry, RefusalCode.BROKEN_CHAIN, "does not continue the chain")
        else:
            self._append(cursor, entry, prepared)

    def outcome(self, signed: Sequence[SignedHead]) -> ForeignOutcome:
        for cursor in self._cursors.values():
            if cursor.seq > cursor.end.seq:
                self._batch.origins.move(
                    replace(cursor.end, seq=cursor.seq, hash=cursor.hash, hlc=cursor.hlc)
                )
        for row in self._kept(signed):
            self._batch.write_later(_SIGNATURE, row)
        decided = {origin: cursor.seq for origin, cursor in self._cursors.items()}
        return ForeignOutcome(decided, self._refused, self._applied)

    def _kept(self, signed: Sequence[SignedHead]) -> Iterator[tuple[int, int, bytes]]:
        for head in signed:
            cursor = self._cursors.get(head.origin)
            if cursor is not None and cursor.end.floor_seq < head.seq <= cursor.seq:
                yield cursor.end.origin_no, head.seq, head.signature

    def _append(self, cursor: _Cursor, entry: Entry, prepared: Prepared) -> None:
        self._batch.entries.append((cursor.end.origin_no, entry))
        cursor.seq, cursor.hash = entry.seq, entry.hash
        veto = self._vetoes.get((entry.origin, entry.seq))
        if veto is not None:  # before the stamp, or its time would let it in
            self._put_aside(entry, veto.code, veto.detail)
            return
        try:
            self._batch.observe(entry.hlc)
        except HlcTooFarAheadError:
            due = when_near(self._batch, entry.hlc)
            self._put_aside(entry, RefusalCode.FUTURE_STAMP, "the stamp lies in the future", due)
            return
        cursor.hlc = max(cursor.hlc, entry.hlc)
        if isinstance(prepared, EntryRefusedError):
            reason = str(prepared.details.get("reason", prepared.code))
            self._put_aside(entry, reason, prepared.message)
        elif prepared is not None:
            self._perform(entry, prepared)

    def _perform(self, entry: Entry, writes: Writes) -> None:
        floor = self._batch.floor(entry.hlc)
        if entry.hlc >= floor:
            self._batch.workspace.perform(writes)
        elif self._may_be_late(writes, floor):
            self._perform_late(writes, floor)
        else:
            self._put_aside(
                entry,
                RefusalCode.BELOW_TOMBSTONES,
                "it is older than the tombstones that were dropped, and names an unknown id",
            )
            return
        self._applied += 1

    def _may_be_late(self, writes: Writes, floor: int) -> bool:
        """Whether what an entry from below the floor writes cannot revive what was deleted."""
        return all(
            self._is_known(one)
            or is_forgotten(one.cells, floor)
            or (writes.is_new and makes(one.cells))
            for one in writes.effects
        )

    def _is_known(self, effect: Effect) -> bool:
        return effect.key.kind != "memory" or self._batch.workspace.cells(effect.key) is not None

    def _perform_late(self, writes: Writes, floor: int) -> None:
        """Apply it; the dead stay forgotten, and who dies by it is forgotten at once."""
        effects = [
            one
            for one in writes.effects
            if self._is_known(one) or not is_forgotten(one.cells, floor)
        ]
        self._batch.workspace.perform(writes._replace(effects=effects))
        for one in effects:
            if one.key.kind == "memory":
                self._batch.drop(one.key.key, floor)

    def _check_known(self, cursor: _Cursor, entry: Entry) -> None:
        place = (entry.origin, entry.seq)
        known = self._known.get(place)
        if known is not None and known != entry.hash:
            self._stop(cursor, entry, RefusalCode.FORK, "another entry has this number")
        elif place in self._waiting:
            self._refused.append(Refusal(entry.origin, entry.seq, self._waiting[place]))

    def _stop(self, cursor: _Cursor, entry: Entry, code: RefusalCode, detail: str) -> None:
        self._put_aside(entry, code, detail)
        cursor.stopped = True

    def _put_aside(self, entry: Entry, code: str, detail: str, retry_at: str | None = None) -> None:
        self._refused.append(put_aside(self._batch, entry, code, detail, retry_at))

"""Whole states of another node, joined into those here: snapshots and repairs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeVar

from app.domain.errors import EntryRefusedError
from app.log.forgetting import FLOOR, MARGIN, floor_of, is_forgotten, latest_stamp
from app.log.hlc import HlcTooFarAheadError, parse_stamp, wall_milliseconds
from app.log.kinds.effect import Vector, refuse
from app.log.kinds.embedding import vector_of
from app.log.names import claim_of
from app.log.whole import opened_state
from app.store.protocol import Needs
from app.store.writing.statements import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from app.log.canonical import Value
    from app.log.registers import Cells
    from app.log.state import EntityKey
    from app.store.replica import Head, State, StateVector
    from app.store.writing.batch import Batch
    from app.store.writing.origins import End

R = TypeVar("R")
T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

_FORGET_ENTRIES: Final = Change("DELETE FROM log_entries WHERE origin_no = ? AND seq <= ?")
_FORGET_SIGNATURES: Final = Change("DELETE FROM log_signatures WHERE origin_no = ? AND seq <= ?")


@dataclass(frozen=True, slots=True)
class _Opened:
    """What of a page can be joined."""

    states: Sequence[tuple[EntityKey, Cells]]
    vectors: Sequence[Vector]


@dataclass(slots=True)
class JoinJob:
    """A page of whole states in the writer's queue."""

    rows: Sequence[State]
    vectors: Sequence[StateVector]
    heads: Sequence[Head]
    done: Callable[[int | Exception], None]
    changed: int = field(default=0, init=False)
    _opened: _Opened | None = field(default=None, init=False)

    @property
    def needs(self) -> Needs:
        """The states themselves, and the names that they claim."""
        opened = self.opened
        claims = (claim_of(key.key, cells) for key, cells in opened.states if key.kind == "memory")
        return Needs(
            keys=[key for key, _ in opened.states],
            names=[claim[0] for claim in claims if claim is not None],
            memories=[one.memory_id for one in opened.vectors],
            origins=[one.origin for one in self.heads],
        )

    @property
    def opened(self) -> _Opened:
        """The page, decoded once, however often the batch runs."""
        if self._opened is None:
            self._opened = _Opened(
                list(opened_rows(self.rows)),
                list(opened_vectors(self.vectors)),
            )
        return self._opened

    @property
    def weight(self) -> int:
        """Each state is as much work as a command."""
        return len(self.rows)

    def run(self, batch: Batch) -> None:
        """Join what can be joined."""
        self.changed = 0
        for key, cells in self.opened.states:
            batch.turns.step()
            # A floor was set by an entry so much later, whose stamp counts as seen.
            floor = floor_of(cells) + MARGIN if key == FLOOR else 0
            try:
                batch.observe(max(latest_stamp(cells), floor))
            except HlcTooFarAheadError:
                _LOGGER.warning("%s %s is left out: its stamp lies in the future", *key)
                continue
            if key.kind == "memory" and is_forgotten(cells, batch.floor(latest_stamp(cells))):
                continue
            before = batch.workspace.cells(key)
            batch.workspace.adopt(key, cells)
            self.changed += batch.workspace.cells(key) is not before
        for vector in self.opened.vectors:
            batch.workspace.keep_vector(vector)
        for head in self.heads:
            _begin_after(batch, head)

    def succeed(self) -> None:
        """Answer with how many states changed."""
        self.done(self.changed)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


def opened_rows(rows: Iterable[State]) -> Iterator[tuple[EntityKey, Cells]]:
    """States that can be joined; others are logged."""
    return _passed(rows, lambda one: opened_state(one.kind, one.key, one.state))


def opened_vectors(vectors: Iterable[StateVector]) -> Iterator[Vector]:
    """Vectors that can be kept; others are logged."""
    return _passed(vectors, _opened_vector)


def _passed(rows: Iterable[R], opened: Callable[[R], T]) -> Iterator[T]:
    for one in rows:
        try:
            yield opened(one)
        except EntryRefusedError as error:
            _LOGGER.warning("a state from elsewhere is left out: %s", error.message)


def _opened_vector(one: StateVector) -> Vector:
    payload: dict[str, Value] = {
        "memory_id": one.memory_id,
        "content_hash": one.content_hash,
        "model": one.model,
        "dim": one.dim,
        "vector": one.vector,
    }
    try:
        return vector_of(payload, parse_stamp(one.stamp))
    except ValueError as error:
        raise refuse(str(error)) from error


def _begin_after(batch: Batch, head: Head) -> None:
    """Receive an origin's entries from a head on: what lies below is in the states."""
    end = batch.origins.end(head.origin)
    if end.is_self or head.seq <= end.seq:
        return
    is_trusted = wall_milliseconds(head.hlc) <= batch.now_ms + batch.max_offset_ms
    hlc = max(end.hlc, head.hlc) if is_trusted else end.hlc
    begin_after(batch, replace(end, seq=head.seq, hash=head.hash, hlc=hlc), head.seq, head.hash)


def begin_after(batch: Batch, end: End, floor: int, floor_hash: bytes) -> None:
    """Forget an origin's entries up to a new floor."""
    batch.origins.move(replace(end, floor_seq=floor, floor_hash=floor_hash))
    for statement in (_FORGET_ENTRIES, _FORGET_SIGNATURES):
        batch.write_later(statement, (end.origin_no, floor))

"""Registers: the small lattices that a state is made of.

Each rule's `join` is commutative, associative and idempotent, so a state that
is joined register by register converges whatever the order, loss or
duplication of entries (Shapiro et al., "Conflict-free replicated data types",
INRIA RR-7687, 2011). ADR-1 holds the table field → register → rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from typing_extensions import override

from app.log.canonical import Value, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.log.hlc import Stamp


class Written(NamedTuple):
    """A value and the stamp of the write that set it."""

    value: Value
    stamp: Stamp


Cell: TypeAlias = "Written | Value"


class Rule(ABC):
    """How two cells of one register become one."""

    stamped: bool = False

    @abstractmethod
    def join(self, left: Cell, right: Cell) -> Cell:
        """The least cell at or above both: `left` itself when `right` adds nothing."""


def _written(cell: Cell) -> Written:
    if not isinstance(cell, Written):
        raise TypeError(cell)
    return cell


class LastWriter(Rule):
    """The later stamp wins; equal stamps fall back to the canonical bytes."""

    stamped = True

    @override
    def join(self, left: Cell, right: Cell) -> Cell:
        """The later write."""
        a, b = _written(left), _written(right)
        if a.stamp != b.stamp:
            return a if a.stamp > b.stamp else b
        return a if a is b or encode(a.value) >= encode(b.value) else b


class FirstWriter(Rule):
    """The earlier stamp wins: owners and creation times never change hands."""

    stamped = True

    @override
    def join(self, left: Cell, right: Cell) -> Cell:
        """The earlier write."""
        a, b = _written(left), _written(right)
        if a.stamp != b.stamp:
            return a if a.stamp < b.stamp else b
        return a if a is b or encode(a.value) <= encode(b.value) else b


class RankedLastWriter(Rule):
    """The higher-ranked value wins whatever its stamp; among equals the later one.

    Values are `[rank, ...]`.
    """

    stamped = True

    @override
    def join(self, left: Cell, right: Cell) -> Cell:
        """The higher rank, then the later write."""
        a, b = _written(left), _written(right)
        rank_a, rank_b = _rank(a.value), _rank(b.value)
        if rank_a != rank_b:
            return a if rank_a > rank_b else b
        return LAST_WRITER.join(a, b)


class RankedFirstWriter(Rule):
    """The lower-ranked value wins whatever its stamp; among equals the earlier one.

    Values are `[rank, ...]`.
    """

    stamped = True

    @override
    def join(self, left: Cell, right: Cell) -> Cell:
        """The lower rank, then the earlier write."""
        a, b = _written(left), _written(right)
        rank_a, rank_b = _rank(a.value), _rank(b.value)
        if rank_a != rank_b:
            return a if rank_a < rank_b else b
        return FIRST_WRITER.join(a, b)


def _rank(value: Value) -> int:
    if isinstance(value, list) and value and isinstance(value[0], int):
        return value[0]
    raise TypeError(value)


class Maximum(Rule):
    """The greater of two integers, texts, or lists compared item by item."""

    @override
    def join(self, left: Cell, right: Cell) -> Cell:
        """The greater value."""
        if isinstance(left, int) and isinstance(right, int):
            return max(left, right)
        if isinstance(left, str) and isinstance(right, str):
            return max(left, right)
        if isinstance(left, list) and isinstance(right, list):
            return left if _items(left) >= _items(right) else right
        raise TypeError((left, right))


def _items(value: list[Value]) -> list[tuple[int, str]]:
    # A list holds integers and texts, at each place always the same.
    return [(one, "") if isinstance(one, int) else (0, str(one)) for one in value]


class Counters(Rule):
    """A grow-only counter: origin → its own total; the sum is the value."""

    @override
    def join(self, left: Cell, right: Cell) -> Cell:
        """The pointwise maximum."""
        if not (isinstance(left, dict) and isinstance(right, dict)):
            raise TypeError((left, right))
        greater = {
            origin: count
            for origin, count in right.items()
            if origin not in left or _count(count) > _count(left[origin])
        }
        return {**left, **greater} if greater else left


def _count(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise TypeError(value)


LAST_WRITER: Final = LastWriter()
FIRST_WRITER: Final = FirstWriter()
RANKED_LAST_WRITER: Final = RankedLastWriter()
RANKED_FIRST_WRITER: Final = RankedFirstWriter()
MAXIMUM: Final = Maximum()
COUNTERS: Final = Counters()

Cells: TypeAlias = "Mapping[str, Cell]"

"""Registers: the small lattices that a state is made of.

Each rule's `join` is commutative, associative and idempotent, so a state that
is joined register by register converges whatever the order, loss or
duplication of entries (Shapiro et al., "Conflict-free replicated data types",
INRIA RR-7687, 2011). ADR-1 holds the table field → register → rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from app.log.canonical import Value, encode
from app.log.hlc import Stamp


class Written(NamedTuple):
    """A value and the stamp of the write that set it."""

    value: Value
    stamp: Stamp


Cell: TypeAlias = "Written | Value"


class Rule:
    """How two cells of one register become one."""

    stamped: bool = False

    def join(self, left: Cell, right: Cell) -> Cell:
        """The least cell that is at or above both."""
        raise NotImplementedError  # pragma: no cover - abstract


def _written(cell: Cell) -> Written:
    if not isinstance(cell, Written):
        raise TypeError(cell)
    return cell


class LastWriter(Rule):
    """The later stamp wins; equal stamps fall back to the canonical bytes."""

    stamped = True

    def join(self, left: Cell, right: Cell) -> Cell:
        """The later write."""
        a, b = _written(left), _written(right)
        if a.stamp != b.stamp:
            return a if a.stamp > b.stamp else b
        return a if a.value == b.value or encode(a.value) >= encode(b.value) else b


class FirstWriter(Rule):
    """The earlier stamp wins: owners and creation times never change hands."""

    stamped = True

    def join(self, left: Cell, right: Cell) -> Cell:
        """The earlier write."""
        a, b = _written(left), _written(right)
        if a.stamp != b.stamp:
            return a if a.stamp < b.stamp else b
        return a if a.value == b.value or encode(a.value) <= encode(b.value) else b


class RankedLastWriter(Rule):
    """The higher-ranked value wins whatever its stamp; among equals the later one.

    Values are `[rank, ...]`.
    """

    stamped = True

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

    def join(self, left: Cell, right: Cell) -> Cell:
        """The greater value."""
        return left if left >= right else right  # type: ignore[operator]  # one register, one type


class Counters(Rule):
    """A grow-only counter: origin → its own total; the sum is the value."""

    def join(self, left: Cell, right: Cell) -> Cell:
        """The pointwise maximum."""
        if not (isinstance(left, dict) and isinstance(right, dict)):
            raise TypeError((left, right))
        merged = dict(left)
        for origin, count in right.items():
            mine = merged.get(origin, 0)
            if not (isinstance(count, int) and isinstance(mine, int)):
                raise TypeError(count)
            merged[origin] = max(mine, count)
        return merged


LAST_WRITER: Final = LastWriter()
FIRST_WRITER: Final = FirstWriter()
RANKED_LAST_WRITER: Final = RankedLastWriter()
RANKED_FIRST_WRITER: Final = RankedFirstWriter()
MAXIMUM: Final = Maximum()
COUNTERS: Final = Counters()

Cells: TypeAlias = Mapping[str, Cell]

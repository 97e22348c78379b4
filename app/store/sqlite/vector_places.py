"""Which row of `memories` a vector belongs to, kept in memory.

From a vector's number to its memory leads a row of a few hundred bytes and a text key: two look-ups
that cost more than comparing the vector. What is kept is only ever a short way: whoever reads a row
by it asks the row itself for its id and for what a caller may see.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

UNKNOWN: Final = 0
"""Row numbers and vector numbers start at 1."""

_SIZE_MIN: Final = 1_024
# Numbers beyond it are asked of the table every time: the arrays have a place for each below.
_NUMBER_MAX: Final = 8_000_000


class VectorPlaces:
    """Row of a vector and vector of a row, one to one; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._row_of = np.zeros(_SIZE_MIN, np.int32)
        self._no_of = np.zeros(_SIZE_MIN, np.int32)
        self._changes = 0

    @property
    def changes(self) -> int:
        """Grows with every `forget`; take it before the read whose outcome is learned."""
        return self._changes

    def rows(self, nos: NDArray[np.int64]) -> NDArray[np.int32]:
        """The row of each vector, `UNKNOWN` where it is."""
        return _looked_up(self._row_of, nos)

    def nos(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """The vector of each row, `UNKNOWN` where it is; the row may have none."""
        return _looked_up(self._no_of, rows)

    def learn(self, nos: NDArray[np.int64], rows: NDArray[np.int64], changes: int) -> None:
        """Keep what the table says, unless it may have changed since `changes` was taken."""
        small = (nos <= _NUMBER_MAX) & (rows <= _NUMBER_MAX)
        nos, rows = nos[small], rows[small]
        if not len(nos):
            return
        with self._lock:
            if changes != self._changes:
                return
            self._row_of = _grown(self._row_of, int(nos.max()))
            self._no_of = _grown(self._no_of, int(rows.max()))
            # A row that got a new vector lets go of the old one.
            self._row_of[self._no_of[rows]] = UNKNOWN
            self._row_of[nos], self._no_of[rows] = rows, nos

    def forget(self, rows: Iterable[int]) -> None:
        """Rows that left, or whose vector did."""
        gone = np.fromiter(rows, np.int64)
        with self._lock:
            self._changes += 1
            gone = gone[(gone > 0) & (gone < len(self._no_of))]
            self._row_of[self._no_of[gone]] = UNKNOWN
            self._no_of[gone] = UNKNOWN


def _looked_up(table: NDArray[np.int32], keys: NDArray[np.int64]) -> NDArray[np.int32]:
    found: NDArray[np.int32] = table.take(keys, mode="clip")
    found[keys >= len(table)] = UNKNOWN
    return found


def _grown(table: NDArray[np.int32], highest: int) -> NDArray[np.int32]:
    if highest < len(table):
        return table
    grown = np.zeros(max(highest + 1, 2 * len(table)), np.int32)
    grown[: len(table)] = table
    return grown

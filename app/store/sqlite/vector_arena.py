"""The vectors themselves, in slots: plain arrays, no lock, no graph."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from app.store.sqlite.vector_blocks import Block
from app.store.sqlite.vector_graph import dot_products, to_int8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

NO_SLOT = -1
NO_ROW = -1

_SLOTS_MIN = 1_024
# Rows compared at a time, so that a scan's copies stay inside the processor's cache.
_SCAN_STEP = 4_096
_NO_PRODUCTS: Final = np.empty(0, np.float32)


class VectorArena:
    """Row number to slot to vector; freed slots are used again.

    Arrays grow by doubling; what is not written yet costs address space, not memory.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.live = 0
        self.used = 0
        self._free: list[int] = []
        self._nos = np.full(_SLOTS_MIN, NO_ROW, np.int64)
        self._vectors = np.empty((_SLOTS_MIN, dim), np.float16)
        self._inverse_norms = np.zeros(_SLOTS_MIN, np.float32)
        self._slot_of = np.full(_SLOTS_MIN, NO_SLOT, np.int32)

    @classmethod
    def restored(cls, nos: NDArray[np.int64], vectors: NDArray[np.float16]) -> VectorArena:
        """An arena that takes these arrays as its own, slot by slot (`NO_ROW` marks a free one)."""
        arena = cls(vectors.shape[1])
        if not len(nos):
            return arena
        arena._nos, arena._vectors, arena.used = nos, vectors, len(nos)
        taken = np.flatnonzero(nos != NO_ROW)
        arena.live = len(taken)
        arena._free = np.flatnonzero(nos == NO_ROW).tolist()
        arena._inverse_norms = np.zeros(len(nos), np.float32)
        for start in range(0, len(nos), _SCAN_STEP):
            part = slice(start, start + _SCAN_STEP)
            arena._inverse_norms[part] = _inverse_norms(vectors[part])
        arena._inverse_norms[nos == NO_ROW] = 0
        arena._slot_of = np.full(max(_SLOTS_MIN, int(nos.max()) + 1), NO_SLOT, np.int32)
        arena._slot_of[nos[taken]] = taken
        return arena

    @property
    def nos(self) -> NDArray[np.int64]:
        """Row number a used slot, `NO_ROW` where free."""
        return self._nos[: self.used]

    @property
    def vectors(self) -> NDArray[np.float16]:
        """Vector a used slot; those of free slots mean nothing."""
        return self._vectors[: self.used]

    @property
    def memory_bytes(self) -> int:
        """Of the used slots."""
        return self.used * (2 * self.dim + 8 + 4) + self._slot_of.nbytes

    def scale(self, vector: NDArray[np.float16]) -> float:
        """1 / length of a vector of the arena's dim; 0 if it does not fit or has no direction."""
        if not self.fits(vector):
            return 0.0
        wide = vector.astype(np.float32)
        square = float(wide @ wide)
        return square**-0.5 if 0.0 < square < math.inf else 0.0

    def fits(self, vector: NDArray[np.float16]) -> bool:
        """Whether it has the arena's dim and type."""
        return vector.shape == (self.dim,) and vector.dtype == np.float16

    def put(self, nos: NDArray[np.int64], vectors: NDArray[np.float16]) -> NDArray[np.int64]:
        """Store the usable vectors of rows that are not here yet; returns a slot each."""
        reused = [self._free.pop() for _ in range(min(len(nos), len(self._free)))]
        fresh = len(nos) - len(reused)
        if self.used + fresh > len(self._nos):
            self._grow_slots(self.used + fresh)
        slots = np.concatenate(
            (np.asarray(reused, np.int64), np.arange(self.used, self.used + fresh))
        )
        self.used += fresh
        highest = int(nos.max(initial=0))
        if highest >= len(self._slot_of):
            grown = np.full(max(highest + 1, 2 * len(self._slot_of)), NO_SLOT, np.int32)
            grown[: len(self._slot_of)] = self._slot_of
            self._slot_of = grown
        self._nos[slots] = nos
        self._vectors[slots] = vectors
        self._inverse_norms[slots] = _inverse_norms(vectors)
        self._slot_of[nos] = slots
        self.live += len(nos)
        return slots

    def take_out(self, no: int) -> int:
        """Free the row's slot and return it, `NO_SLOT` if the row is unknown."""
        slot = self.slot(no)
        if slot != NO_SLOT:
            self._slot_of[no] = NO_SLOT
            self._nos[slot] = NO_ROW
            self._inverse_norms[slot] = 0
            self._free.append(slot)
            self.live -= 1
        return slot

    def slot(self, no: int) -> int:
        return int(self._slot_of[no]) if 0 <= no < len(self._slot_of) else NO_SLOT

    def slots(self, nos: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots of those of `nos` that are here, in memory order."""
        known = nos[(nos >= 0) & (nos < len(self._slot_of))]
        slots = self._slot_of[known]
        found: NDArray[np.int64] = np.sort(slots[slots != NO_SLOT]).astype(np.int64)
        return found

    def cosines(
        self, query: NDArray[np.float16], scale: float, slots: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Cosine of the query, of that `scale`, with each of `slots`, or with every used slot.

        Where a slot is free it means nothing.
        """
        parts = [dot_products(query, rows) for rows in self._scan(slots)]
        products = parts[0] if len(parts) == 1 else np.concatenate(parts or [_NO_PRODUCTS])
        inverse_norms = self._inverse_norms
        inverse_norms = inverse_norms[: self.used] if slots is None else inverse_norms[slots]
        cosines: NDArray[np.float32] = products * inverse_norms * np.float32(scale)
        return cosines

    def block(self, slots: NDArray[np.int64]) -> Block:
        """The vectors of some slots in 8 bits."""
        vectors = self._vectors[slots]
        # What `to_int8` divides each vector by; the length of the query is the same for all.
        largest = np.abs(vectors).max(axis=1).astype(np.float32)
        scales: NDArray[np.float32] = largest * self._inverse_norms[slots]
        return Block(self._nos[slots], slots, to_int8(vectors), scales)

    def _scan(self, slots: NDArray[np.int64] | None) -> Iterator[NDArray[np.float16]]:
        count = self.used if slots is None else len(slots)
        for start in range(0, count, _SCAN_STEP):
            part = slice(start, min(start + _SCAN_STEP, count))
            if slots is None:
                yield self._vectors[part]
            else:  # with "clip" numpy copies whole rows without checking each
                yield self._vectors.take(slots[part], axis=0, mode="clip")

    def _grow_slots(self, needed: int) -> None:
        size = max(needed, 2 * len(self._nos))
        nos = np.full(size, NO_ROW, np.int64)
        vectors = np.empty((size, self.dim), np.float16)
        inverse_norms = np.zeros(size, np.float32)
        nos[: self.used] = self._nos[: self.used]
        vectors[: self.used] = self._vectors[: self.used]
        inverse_norms[: self.used] = self._inverse_norms[: self.used]
        self._nos, self._vectors, self._inverse_norms = nos, vectors, inverse_norms


def has_direction(rows: NDArray[np.float16]) -> NDArray[np.bool_]:
    """Whether each row is finite and not zero."""
    directed: NDArray[np.bool_] = _inverse_norms(rows) > 0
    return directed


def _inverse_norms(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """1 / length of each row, 0 for a row without a direction."""
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    inverse: NDArray[np.float32] = np.zeros(len(rows), np.float32)
    np.divide(1.0, norms, out=inverse, where=usable)
    return inverse

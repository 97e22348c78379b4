"""Vectors of whole namespaces, side by side and in 8 bits, for searches inside one.

In the arena a namespace's vectors lie scattered, and reading them there takes most of a narrow
search. A block only proposes: who asks ranks the proposed by their true vectors.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A block that was asked for within this many searches is not given up for another: where more
# namespaces take turns than find room, some stay instead of all going round.
_PATIENCE: Final = 256
_BYTES_MAX: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a namespace by slot, their 8-bit vectors, and what makes products comparable.

    `scales[i] * (vectors[i] @ query)` grows with the cosine.
    """

    nos: NDArray[np.int64]
    slots: NDArray[np.int64]
    vectors: NDArray[np.int8]
    scales: NDArray[np.float32]

    @property
    def byte_count(self) -> int:
        return self.vectors.nbytes + self.nos.nbytes + self.slots.nbytes + self.scales.nbytes


@dataclass(slots=True)
class _Kept:
    block: Block
    asked_at: int


class VectorBlocks:
    """A bounded cache of blocks by namespace; safe to use from several threads."""

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._searches = 0
        self._changes = 0
        self.byte_count = 0

    @property
    def changes(self) -> int:
        """Grows with every `forget`; take it before reading what a block is made of."""
        return self._changes

    def get(self, namespace: str) -> Block | None:
        """The namespace's block, if it is kept."""
        with self._lock:
            self._searches += 1
            kept = self._kept.get(namespace)
            if kept is None:
                return None
            kept.asked_at = self._searches
            self._kept.move_to_end(namespace)
            return kept.block

    def has_room(self, byte_count: int) -> bool:
        """Whether a block of that size would be kept."""
        with self._lock:
            return byte_count <= self._bytes_max - self.byte_count + self._idle_bytes()

    def keep(self, namespace: str, block: Block, changes: int) -> None:
        """Keep a block if there is room, and nothing was forgotten since `changes` was taken."""
        with self._lock:
            if changes != self._changes or namespace in self._kept:
                return
            if block.byte_count > self._bytes_max - self.byte_count + self._idle_bytes():
                return
            while self.byte_count + block.byte_count > self._bytes_max:
                _, idle = self._kept.popitem(last=False)
                self.byte_count -= idle.block.byte_count
            self._kept[namespace] = _Kept(block, self._searches)
            self.byte_count += block.byte_count

    def forget(self, namespace: str) -> None:
        """Let go of a namespace whose rows or vectors changed."""
        with self._lock:
            self._changes += 1
            kept = self._kept.pop(namespace, None)
            if kept is not None:
                self.byte_count -= kept.block.byte_count

    def _idle_bytes(self) -> int:
        """What those take that nobody has asked for in a while."""
        total = 0
        for kept in self._kept.values():  # the longest unasked first
            if self._searches - kept.asked_at <= _PATIENCE:
                break
            total += kept.block.byte_count
        return total

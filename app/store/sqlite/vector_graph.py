"""The native half of the vector index: usearch's HNSW graph and SIMD dot products.

The only module that imports usearch and numkong, and it does so late, so that a
process which never needs a graph does not pay for them. Loading usearch before
onnxruntime crashes the process (both link their own copies of the same
symbols); whoever comes first, `_native` loads onnxruntime first if it is there.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

# Malkov and Yashunin 2018 (HNSW), names M, efConstruction and ef. Chosen with
# bench/vector_index.py on clustered vectors at 100,000 rows. With 16 links a row those of a
# cluster mostly lead to one another, and whole clusters are missed: of the 50 nearest among 2,000
# clusters of 50 rows 0.70 were found, with 32 links 0.97, in the same time and 13 MB more.
CONNECTIVITY = 32
EXPANSION_ADD = 96
EXPANSION_SEARCH = 96

_INT8_MAX = 127.0


@cache
def _native(name: str) -> ModuleType:
    with suppress(ImportError):  # the embeddings extra is optional
        importlib.import_module("onnxruntime")
    return importlib.import_module(name)


def dot_products(query: NDArray[np.float16], rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """`rows @ query`, accumulated in at least 32 bits.

    numpy widens f16 element by element in software; this is 20 to 60 times faster.
    """
    if not len(rows):
        return np.empty(0, np.float32)
    numkong = _native("numkong")
    product = np.asarray(numkong.cdist(query.reshape(1, -1), rows, "dot"))
    return product.reshape(-1).astype(np.float32)


def dot_products_int8(query: NDArray[np.int8], rows: NDArray[np.int8]) -> NDArray[np.float32]:
    """`rows @ query`, of 8-bit vectors; exact."""
    if not len(rows):
        return np.empty(0, np.float32)
    product = np.asarray(_native("numkong").cdist(query.reshape(1, -1), rows, "dot"))
    return product.reshape(-1).astype(np.float32)


def to_int8(vectors: NDArray[np.float16]) -> NDArray[np.int8]:
    """Each vector scaled so that its largest component uses the whole range.

    Cosine ignores the scale. usearch's own cast scales by the norm instead, which
    leaves a 384-dimensional vector some six steps a component.
    """
    wide = vectors.astype(np.float32)
    largest = np.abs(wide).max(axis=-1, keepdims=True)
    rounded: NDArray[np.int8] = np.rint(wide * (_INT8_MAX / largest)).astype(np.int8)
    return rounded


class Graph:
    """HNSW over 8-bit roundings of the vectors, keyed by slot.

    It only proposes candidates; the caller ranks them by the true f16 vectors, so
    the rounding costs no precision, halves the build time and a third of the memory.
    Searches may run in several threads; add, remove and dump need the caller's lock.
    """

    def __init__(self, dim: int, dumped: bytes | bytearray | None = None) -> None:
        """An empty graph, or the one that `dump` wrote.

        Raises:
            RuntimeError: If `dumped` is not a graph (usearch's own refusal).
        """
        self._index = _native("usearch.index").Index(
            ndim=dim,
            metric="cos",
            dtype="i8",
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD,
            expansion_search=EXPANSION_SEARCH,
        )
        if dumped is not None:
            self._index.load(dumped)
            self._index.expansion_add = EXPANSION_ADD
            self._index.expansion_search = EXPANSION_SEARCH

    def __len__(self) -> int:
        return int(self._index.size)

    @property
    def memory_bytes(self) -> int:
        """What is written; usearch's own figure counts pages that it only reserves."""
        return int(self._index.serialized_length)

    def add(self, slots: NDArray[np.int64], vectors: NDArray[np.float16]) -> None:
        self._index.add(slots.astype(np.uint64), to_int8(vectors), threads=1)

    def remove(self, slot: int) -> None:
        self._index.remove(slot)

    def search(self, query: NDArray[np.float16], count: int) -> NDArray[np.int64]:
        """Up to `count` slots, nearest first."""
        found = self._index.search(to_int8(query), count, threads=1)
        return np.asarray(found.keys).astype(np.int64)

    def dump(self) -> bytearray:
        dumped = self._index.save()
        assert isinstance(dumped, bytearray)
        return dumped

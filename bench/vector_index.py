"""The vector index: how complete, how fast, how large, and how soon it is back after a restart."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.store.sqlite.vectors import VectorIndex, VectorRow
from bench.measurement import (
    Finding,
    Measurement,
    Options,
    Spread,
    at_least,
    at_most,
    ratios,
)

DIM = 384
ROWS_DEFAULT = 100_000
ROWS_A_CLUSTER = 100
NOISE = 1.0
QUERIES = 200
ANSWERS = 10
NAMESPACE_SHARE = 50  # one in fifty: 2 %
GROW_STEP = 1_000


class RealSync:
    """The disk's."""

    def file(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


class Vectors:
    """Clustered unit vectors: what embeddings of related notes look like."""

    def __init__(self, rows: int) -> None:
        chance = np.random.default_rng(20260601)
        self._chance = chance
        self._centres = chance.standard_normal((max(1, rows // ROWS_A_CLUSTER), DIM), np.float32)
        self.rows = np.concatenate(
            [self.draw(min(10_000, rows - at)) for at in range(0, rows, 10_000)]
        )
        self.queries = self.draw(QUERIES)
        self.nos = np.arange(1, rows + 1)
        chosen = chance.choice(rows, rows // NAMESPACE_SHARE, replace=False)
        self.namespace = np.sort(chosen) + 1

    def draw(self, count: int) -> NDArray[np.float16]:
        noise = NOISE * self._chance.standard_normal((count, DIM), np.float32)
        rows = self._centres[self._chance.integers(0, len(self._centres), count)] + noise
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows.astype(np.float16)

    def fetch(self, nos: NDArray[np.int64]) -> Iterator[VectorRow]:
        return (VectorRow(no, self.rows[no - 1]) for no in nos.tolist())

    def best(self, nos: NDArray[np.int64]) -> list[set[int]]:
        """The true nearest of `nos` to each query."""
        wide = self.rows[nos - 1].astype(np.float32)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        cosines = self.queries.astype(np.float32) @ wide.T
        top = np.argpartition(-cosines, ANSWERS, axis=1)[:, :ANSWERS]
        return [set(nos[row].tolist()) for row in top]


@dataclass(frozen=True)
class Round:
    """Median milliseconds a search."""

    everywhere: float
    namespace: float


def run(options: Options) -> tuple[Finding, ...]:
    vectors = Vectors(options.rows or ROWS_DEFAULT)
    path = options.scratch / "vectors.index"
    index = VectorIndex.open(path, dim=DIM, model="bench", disk_sync=RealSync())
    filled = _seconds(lambda: index.catch_up(vectors.nos, vectors.fetch))
    before_graph = _p50_ms(lambda query: index.search(query, ANSWERS), vectors)
    grown = _seconds(lambda: _grow(index))
    rounds = [_round(index, vectors) for _ in range(options.repeats)]
    saved = _seconds(index.save)
    reopened = [_seconds(lambda: _reopen(path, vectors)) for _ in range(options.repeats)]
    everywhere = [one.everywhere for one in rounds]
    namespace = [one.namespace for one in rounds]
    found = [index.search(query, ANSWERS).nos for query in vectors.queries]
    inside = [
        index.search_allowed(vectors.namespace, query, ANSWERS).nos for query in vectors.queries
    ]
    once = Spread.of
    return (
        Finding(
            "recall@10, everywhere",
            "",
            once([_recall(found, vectors.best(vectors.nos))]),
            at_least(0.97),
        ),
        Finding(
            "recall@10, 2 % namespace",
            "",
            once([_recall(inside, vectors.best(vectors.namespace))]),
            at_least(0.98),
        ),
        Finding("2 % namespace / everywhere", "x", ratios(namespace, everywhere), at_most(0.5)),
        Finding("search everywhere, p50", "ms", once(everywhere)),
        Finding("search of a 2 % namespace, p50", "ms", once(namespace)),
        Finding("search before there is a graph, p50", "ms", once([before_graph])),
        Finding("open a saved index and catch up", "s", once(reopened), at_most(1.0)),
        Finding("fill without a saved index", "s", once([filled]), at_most(3.0)),
        Finding("graph of all rows, in the background", "s", once([grown])),
        Finding("save", "s", once([saved])),
        Finding("memory of the index", "MB", once([index.memory_bytes / 1e6]), at_most(120)),
    )


def _round(index: VectorIndex, vectors: Vectors) -> Round:
    return Round(
        everywhere=_p50_ms(lambda query: index.search(query, ANSWERS), vectors),
        namespace=_p50_ms(
            lambda query: index.search_allowed(vectors.namespace, query, ANSWERS), vectors
        ),
    )


def _grow(index: VectorIndex) -> None:
    while index.grow_graph(GROW_STEP):
        pass


def _reopen(path: Path, vectors: Vectors) -> None:
    index = VectorIndex.open(path, dim=DIM, model="bench", disk_sync=RealSync())
    done = index.catch_up(vectors.nos, vectors.fetch)
    assert done.added == 0, "a saved index must not read its rows again"


def _recall(found: list[NDArray[np.int64]], best: list[set[int]]) -> float:
    return statistics.mean(
        len(right & set(nos.tolist())) / ANSWERS for nos, right in zip(found, best, strict=True)
    )


def _p50_ms(search: Callable[[NDArray[np.float16]], object], vectors: Vectors) -> float:
    return 1_000 * statistics.median(_seconds(partial(search, query)) for query in vectors.queries)


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


MEASUREMENT = Measurement(
    "vector-index",
    "The SQLite store's vector index over clustered 384-dim vectors, recall against the exact "
    "answer; a namespace is a random 2 % of the rows.",
    run,
)

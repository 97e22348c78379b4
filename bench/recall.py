"""A recall over HTTP, beside the sum of what it is made of, each step run bare and in turn."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.bootstrap.sources import SystemDisk
from app.recall.embedding.protocol import Embedder
from app.store.sqlite.common_words import CommonWords
from app.store.sqlite.connection import FileOptions, open_reader
from app.store.sqlite.fulltext import search_any
from app.store.sqlite.stored import json_array
from app.store.sqlite.vectors import VectorIndex
from bench.baseline.raw_embedding import open_embedder
from bench.corpus_store import copied
from bench.load.client import Client
from bench.load.servers import started_node
from bench.measurement import Finding, Measurement, Options, Spread, Target, at_most, ratios
from bench.process import wait_until_idle
from bench.questions import fresh
from tests.integration.node import Node

T = TypeVar("T")
SIZES = {10_000: at_most(1.0), 100_000: at_most(0.9)}
QUESTIONS = 50
ANSWERS = 10
TEXT_POOL = 30  # what a recall of ten rows asks of each leg
VECTOR_POOL = 50
LIVE = "m.expires_at IS NULL"


@dataclass(frozen=True)
class Steps:
    """Milliseconds of one question, step by step."""

    embedding: float
    vectors: float
    text: float
    fetch: float

    @property
    def total(self) -> float:
        return self.embedding + self.vectors + self.text + self.fetch


@dataclass(frozen=True)
class Round:
    """Medians of one round's questions, in ms."""

    recall: float
    steps: Steps
    total: float


class Bare:
    """The steps, without a service around them, over the files of a node that is at rest."""

    def __init__(self, database: Path, embedder: Embedder) -> None:
        self._embedder = embedder
        self._connection = open_reader(FileOptions(database), makes_views=True)
        self._index = VectorIndex.open(
            database.with_name(database.name + ".vectors"),
            dim=embedder.dim,
            model=embedder.fingerprint,
            disk_sync=SystemDisk(),
        )
        assert len(self._index), "the store has no saved vector index"
        self._words = CommonWords()
        self._words.warm(self._connection, lambda: False)

    def steps(self, question: str) -> Steps:
        vector, embedding = _timed(lambda: self._embedder.embed_query(question))
        _, vectors = _timed(lambda: self._nearest(vector))
        ids, text = _timed(lambda: self._by_words(question))
        _, fetch = _timed(lambda: self._fetch(ids))
        return Steps(embedding, vectors, text, fetch)

    def close(self) -> None:
        self._connection.close()

    def _nearest(self, vector: NDArray[np.float32]) -> int:
        return len(self._index.search(vector, VECTOR_POOL))

    def _by_words(self, question: str) -> list[str]:
        hits = search_any(self._connection, question, LIVE, (), TEXT_POOL, self._words)
        return [hit.id for hit in hits[:ANSWERS]]

    def _fetch(self, ids: Sequence[str]) -> int:
        found = self._connection.execute(
            "SELECT * FROM memories WHERE id IN (SELECT value FROM json_each(?))",
            (json_array(ids),),
        )
        return len(found.fetchall())


def run(options: Options) -> tuple[Finding, ...]:
    sizes: dict[int, Target] = {options.rows: at_most(1.0)} if options.rows else SIZES
    embedder = open_embedder()
    try:
        found = [
            finding
            for row_count, target in sizes.items()
            for finding in _findings(row_count, target, embedder, options)
        ]
    finally:
        embedder.close()
    return tuple(sorted(found, key=lambda finding: finding.target is None))


def _findings(
    row_count: int, target: Target, embedder: Embedder, options: Options
) -> tuple[Finding, ...]:
    rounds = _rounds(row_count, embedder, options)
    at = f"at {row_count:,} rows"

    def of(pick: Callable[[Round], float]) -> Spread:
        return Spread.of(pick(one) for one in rounds)

    ratio = ratios([one.recall for one in rounds], [one.total for one in rounds])
    return (
        Finding(f"recall {at}, p50 / sum of its steps run bare", "x", ratio, target),
        Finding(f"recall {at}, p50", "ms", of(lambda r: r.recall)),
        Finding(f"sum of the steps {at}, p50", "ms", of(lambda r: r.total)),
        Finding(f"embedding the question {at}", "ms", of(lambda r: r.steps.embedding)),
        Finding(f"vector search {at}", "ms", of(lambda r: r.steps.vectors)),
        Finding(f"text query {at}", "ms", of(lambda r: r.steps.text)),
        Finding(f"fetch {at}", "ms", of(lambda r: r.steps.fetch)),
    )


def _rounds(row_count: int, embedder: Embedder, options: Options) -> list[Round]:
    folder = options.scratch / f"recall-{row_count}"
    store = copied(row_count, folder, embedder)
    with started_node(folder, "semantic") as node, Client(node.url) as client:
        bare = Bare(store.database, embedder)
        try:
            # A round nobody counts: the first questions find cold pages on both sides.
            _round(fresh(store.questions, QUESTIONS, options.repeats), node, client, bare)
            return [
                _round(fresh(store.questions, QUESTIONS, number), node, client, bare)
                for number in range(options.repeats)
            ]
        finally:
            bare.close()


def _round(asked: Sequence[str], node: Node, client: Client, bare: Bare) -> Round:
    # At rest: what the last recalls left to do behind their answers must not slow the other side.
    wait_until_idle(node.pid)
    recalls = [client.recall(question) for question in asked]
    wait_until_idle(node.pid)
    steps = [bare.steps(question) for question in asked]

    def median(pick: Callable[[Steps], float]) -> float:
        return statistics.median(pick(one) for one in steps)

    medians = Steps(
        median(lambda s: s.embedding),
        median(lambda s: s.vectors),
        median(lambda s: s.text),
        median(lambda s: s.fetch),
    )
    return Round(statistics.median(recalls), medians, median(lambda s: s.total))


def _timed(step: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = step()
    return result, 1_000 * (time.perf_counter() - started)


MEASUREMENT = Measurement(
    "recall",
    "One client's recall of ten rows over HTTP from a node with the local model, every question new"
    " to it, against embedding the question, the vector search, the text query and the fetch of ten"
    " rows, run one after the other in a process of their own over the same files. Real text; 2,000"
    " real vectors, the others are those plus noise.",
    run,
)

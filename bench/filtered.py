"""Vector search inside one namespace, through the store, beside a search of everything."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import apsw
import numpy as np
from numpy.typing import NDArray

from app.bootstrap.sources import SystemDisk
from app.domain.timestamps import format_instant
from app.recall.embedding.protocol import Embedder
from app.store.protocol import ScoredId
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.adapter import SqliteStore
from app.store.sqlite.vectors import VectorIndex
from bench.baseline.raw_embedding import open_embedder
from bench.corpus_store import NAMESPACES, copied, namespace_of, opened
from bench.measurement import Finding, Measurement, Options, Spread, at_least, at_most, ratios
from bench.questions import fresh

ROWS_DEFAULT = 100_000
QUESTIONS = 50
ANSWERS = 10


@dataclass(frozen=True)
class Query:
    """A question's vector, and the namespace that it is asked in."""

    vector: NDArray[np.float32]
    namespace: str


@dataclass(frozen=True)
class Round:
    """Median milliseconds a search."""

    inside: float
    everywhere: float
    index_alone: float


def run(options: Options) -> tuple[Finding, ...]:
    row_count = options.rows or ROWS_DEFAULT
    embedder = open_embedder()
    try:
        kept = copied(row_count, options.scratch / "filtered", embedder)
        asked = fresh(kept.questions, QUESTIONS, 0)
        queries = [
            Query(embedder.embed_query(question), namespace_of(number))
            for number, question in enumerate(asked)
        ]
        return asyncio.run(_measured(kept.database, queries, embedder, options))
    finally:
        embedder.close()


async def _measured(
    database: Path, queries: Sequence[Query], embedder: Embedder, options: Options
) -> tuple[Finding, ...]:
    store = opened(database, embedder)
    try:
        return await _findings(store, database, queries, options)
    finally:
        await store.close()


async def _findings(
    store: SqliteStore, database: Path, queries: Sequence[Query], options: Options
) -> tuple[Finding, ...]:
    now = format_instant(datetime.now(UTC))

    async def inside(query: Query) -> Sequence[ScoredId]:
        chosen = MemoryFilter(now=now, namespaces=(query.namespace,))
        return await store.search_vector(numbers(query), chosen, ANSWERS)

    async def everywhere(query: Query) -> Sequence[ScoredId]:
        return await store.search_vector(numbers(query), MemoryFilter(now=now), ANSWERS)

    truth = Exact(database)
    found = [
        len(truth.best(query) & {hit.id for hit in await inside(query)}) / ANSWERS
        for query in queries
    ]
    # The searches above have filled every cache that a second one finds filled.
    await _p50(everywhere, queries)
    index = _index_of(database)
    rounds = [
        Round(
            await _p50(inside, queries),
            await _p50(everywhere, queries),
            _p50_alone(index, queries),
        )
        for _ in range(options.repeats)
    ]
    within, without = [one.inside for one in rounds], [one.everywhere for one in rounds]
    alone = [one.index_alone for one in rounds]
    share = f"{100 // NAMESPACES} % namespace"
    return (
        Finding(
            f"{share}, recall@{ANSWERS} / exact search",
            "x",
            Spread.of([statistics.mean(found)]),
            at_least(0.98),
        ),
        Finding(
            f"{share}, through the store / everywhere, through the store",
            "x",
            ratios(within, without),
            at_most(0.5),
        ),
        Finding(f"{share}, through the store / HNSW alone", "x", ratios(within, alone)),
        Finding(f"{share}, through the store", "ms", Spread.of(within)),
        Finding("everywhere, through the store", "ms", Spread.of(without)),
        Finding("everywhere, HNSW alone", "ms", Spread.of(alone)),
    )


class Exact:
    """The true nearest of a namespace, by comparing with each of its vectors."""

    def __init__(self, database: Path) -> None:
        self._connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)

    def best(self, query: Query) -> set[str]:
        found = self._connection.execute(
            "SELECT memories.id, v.vector FROM memories JOIN memory_vectors AS v"
            " ON v.memory_id = memories.id WHERE memories.namespace = ?",
            (query.namespace,),
        )
        rows = cast("list[tuple[str, bytes]]", found.fetchall())
        wide = np.stack([np.frombuffer(data, "<f2") for _, data in rows]).astype(np.float32)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        top = np.argsort(-(wide @ query.vector))[:ANSWERS]
        return {rows[place][0] for place in top.tolist()}


def _index_of(database: Path) -> VectorIndex:
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    model, dim = next(connection.execute("SELECT model, dim FROM memory_vectors LIMIT 1"))
    connection.close()
    path = database.with_name(database.name + ".vectors")
    return VectorIndex.open(path, dim=dim, model=model, disk_sync=SystemDisk())


def numbers(query: Query) -> Sequence[float]:
    # An array, as the recall service passes it: the store makes an array of whatever it gets.
    return query.vector  # type: ignore[return-value]


async def _p50(
    search: Callable[[Query], Awaitable[Sequence[ScoredId]]], queries: Sequence[Query]
) -> float:
    took = []
    for query in queries:
        started = time.perf_counter()
        await search(query)
        took.append(time.perf_counter() - started)
    return 1_000 * statistics.median(took)


def _p50_alone(index: VectorIndex, queries: Sequence[Query]) -> float:
    took = []
    for query in queries:
        started = time.perf_counter()
        index.search(query.vector, ANSWERS)
        took.append(time.perf_counter() - started)
    return 1_000 * statistics.median(took)


MEASUREMENT = Measurement(
    "filtered",
    "The ten nearest of one namespace that holds 2 % of the rows, asked of the store, against the"
    " ten nearest of all rows; the same questions in both. 2,000 real vectors, the others are those"
    " plus noise.",
    run,
)

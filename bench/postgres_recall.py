"""The store on PostgreSQL beside the one on SQLite: the same rows, questions and reads."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw
import numpy as np

from app.domain.ranking import Candidate, Ranked, Scoring, rank
from app.domain.text import parse_query
from app.domain.timestamps import format_instant
from app.recall.embedding.protocol import Embedder
from app.store.protocol import Store
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.analysis import Analyser
from bench import postgres_store
from bench.baseline.raw_embedding import open_embedder
from bench.corpus_store import copied, namespace_of, opened
from bench.filtered import Exact, Query, numbers
from bench.measurement import Finding, Measurement, Options, Spread, at_least, at_most, ratios
from bench.questions import fresh
from bench.textleg import exhaustive

ROWS_DEFAULT = 100_000
QUESTIONS = 40
ANSWERS = 10
TEXT_POOL = 30  # what a recall of ten rows asks of each leg
VECTOR_POOL = 50


@dataclass(frozen=True)
class Asked:
    """A question with its vector and a namespace."""

    question: str
    near: Query


@dataclass(frozen=True)
class Round:
    """Median milliseconds."""

    inside: float
    everywhere: float
    recall: float
    recall_on_sqlite: float


class Reads:
    """The measured reads over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._now = datetime.now(UTC)
        self._everything = MemoryFilter(now=format_instant(self._now))

    async def inside(self, asked: Asked) -> list[str]:
        chosen = MemoryFilter(now=self._everything.now, namespaces=(asked.near.namespace,))
        hits = await self._store.search_vector(numbers(asked.near), chosen, ANSWERS)
        return [hit.id for hit in hits]

    async def everywhere(self, asked: Asked) -> list[str]:
        hits = await self._store.search_vector(numbers(asked.near), self._everything, ANSWERS)
        return [hit.id for hit in hits]

    async def by_words(self, asked: Asked) -> list[str]:
        hits = await self._store.search_text(
            asked.question, self._everything, ANSWERS, every_term=False
        )
        return [hit.id for hit in hits]

    async def recall(self, asked: Asked) -> list[str]:
        words = await self._store.recall_words(
            asked.question, self._everything, TEXT_POOL, covers=True
        )
        found = await self._store.recall_best(
            words, numbers(asked.near), self._everything, VECTOR_POOL, self._best
        )
        return [one.id for one in found.ranked]

    def _best(self, candidates: Sequence[Candidate]) -> Sequence[Ranked]:
        return rank(candidates, Scoring(), self._now, hybrid=True, limit=ANSWERS)


def run(options: Options) -> tuple[Finding, ...]:
    embedder = open_embedder()
    try:
        kept = copied(options.rows or ROWS_DEFAULT, options.scratch / "postgres", embedder)
        asked = [
            Asked(question, Query(embedder.embed_query(question), namespace_of(number)))
            for number, question in enumerate(fresh(kept.questions, QUESTIONS, 0))
        ]
        with postgres_store.served(kept.database) as address:
            return asyncio.run(_measured(kept.database, address, asked, embedder, options))
    finally:
        embedder.close()


async def _measured(
    database: Path, address: str, asked: Sequence[Asked], embedder: Embedder, options: Options
) -> tuple[Finding, ...]:
    file, server = opened(database, embedder), postgres_store.opened(address, embedder)
    try:
        await file.refresh()
        await server.refresh()
        return await _findings(Reads(server), Reads(file), database, asked, options)
    finally:
        await file.close()
        await server.close()


async def _findings(
    here: Reads, sqlite: Reads, database: Path, asked: Sequence[Asked], options: Options
) -> tuple[Finding, ...]:
    nearest = Exact(database)
    near = [_shared(nearest.best(one.near), await here.inside(one)) for one in asked]
    words = [_shared(_by_words(database, one.question), await here.by_words(one)) for one in asked]
    same = [_shared(set(await sqlite.recall(one)), await here.recall(one)) for one in asked]
    await _p50(here.everywhere, asked)  # the second search finds filled caches, so must the first
    rounds = [
        Round(
            await _p50(here.inside, asked),
            await _p50(here.everywhere, asked),
            await _p50(here.recall, asked),
            await _p50(sqlite.recall, asked),
        )
        for _ in range(options.repeats)
    ]
    within, without = [one.inside for one in rounds], [one.everywhere for one in rounds]
    recall, other = [one.recall for one in rounds], [one.recall_on_sqlite for one in rounds]

    def mean(found: Sequence[float]) -> Spread:
        return Spread.of([statistics.mean(found)])

    return (
        Finding("2 % namespace, recall@10 / exact search", "x", mean(near), at_least(0.98)),
        Finding("2 % namespace / everywhere", "x", ratios(within, without), at_most(2.5)),
        Finding("top 10 by words shared with every row scored", "x", mean(words), at_least(0.9)),
        Finding("top 10 of a recall shared with SQLite's", "x", mean(same), at_least(0.9)),
        Finding("2 % namespace", "ms", Spread.of(within)),
        Finding("everywhere", "ms", Spread.of(without)),
        Finding("recall without embedding, p50", "ms", Spread.of(recall)),
        Finding("recall without embedding on SQLite, p50", "ms", Spread.of(other)),
        Finding("recall / recall on SQLite", "x", ratios(recall, other)),
    )


def _by_words(database: Path, question: str) -> set[str]:
    """What FTS5 answers when it scores every row that holds any of the words, each stem once."""
    with closing(apsw.Connection(str(database))) as connection:
        words = Analyser(connection).distinct(parse_query(question).content_words)
        return set(exhaustive(connection, tuple(words.values())))


def _shared(right: set[str], found: Sequence[str]) -> float:
    return len(right & set(found)) / len(right) if right else 1.0


async def _p50(read: Callable[[Asked], Awaitable[object]], asked: Sequence[Asked]) -> float:
    took = []
    for one in asked:
        started = time.perf_counter()
        await read(one)
        took.append(time.perf_counter() - started)
    return 1_000 * float(np.median(took))


MEASUREMENT = Measurement(
    "postgres-recall",
    "Reads by relevance of the store on PostgreSQL 18, a server on the same machine, against"
    " exact search and the store on SQLite with the same rows. Real texts; 2,000 real vectors, the"
    " rest are those plus noise. A recall is both reads and the ranking, its question embedded.",
    run,
)

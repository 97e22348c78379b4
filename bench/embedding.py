"""The embedding model as shipped and as we run it, and recall's query beside the backlog."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.domain.text import content_hash
from app.recall.embedding.local import LocalEmbedder
from app.recall.embedding.model_directory import packaged_model
from app.recall.embedding.protocol import (
    Embedded,
    Embedder,
    EmbedderUnavailableError,
    Unembedded,
    embedding_text,
)
from app.recall.embedding.worker import EmbeddingWorker, document_executor
from bench.baseline.rows import make_rows
from bench.measurement import (
    Finding,
    Measurement,
    MeasurementError,
    Options,
    Spread,
    at_least,
    at_most,
    ratios,
)

QUERIES = (
    "how do I copy a directory with everything in it",
    "what keeps a heap in order when something is pushed",
    "which lock lets many threads read",
    "parse a date written with a time zone",
)
DOCUMENTS_DEFAULT = 60
QUERY_ROUNDS = 10


@dataclass(frozen=True)
class Waiting:
    """A memory of the backlog."""

    memory_id: str
    content_hash: bytes
    text: str


class Backlog:
    """Both of the worker's ports, in memory."""

    def __init__(self, count: int, seed: int) -> None:
        self._waiting = [
            Waiting(
                str(n),
                content_hash(row.title, row.content),
                embedding_text(row.title, row.content),
            )
            for n, row in enumerate(make_rows(count, seed))
        ]

    @property
    def texts(self) -> list[str]:
        return [waiting.text for waiting in self._waiting]

    async def pending(self, limit: int) -> Sequence[Unembedded]:
        return self._waiting[:limit]

    async def pending_count(self) -> int:
        return len(self._waiting)

    async def record(self, vectors: Sequence[Embedded]) -> None:
        done = {vector.memory_id for vector in vectors}
        self._waiting = [waiting for waiting in self._waiting if waiting.memory_id not in done]


class RealClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True)
class Round:
    """Milliseconds a text, and texts a second."""

    shipped_query: float
    query: float
    shipped_document: float
    document: float
    query_while_draining: float
    raw_rate: float
    drain_rate: float


def run(options: Options) -> tuple[Finding, ...]:
    try:
        ours = LocalEmbedder.packaged()
        shipped = LocalEmbedder(replace(packaged_model(), computes_in_int8=False))
    except EmbedderUnavailableError as error:
        raise MeasurementError(f"no local embedding model: {error}") from error
    count = options.rows or DOCUMENTS_DEFAULT
    rounds = [_round(ours, shipped, count, seed) for seed in range(options.repeats)]

    def of(pick: Callable[[Round], float]) -> list[float]:
        return [pick(one) for one in rounds]

    query, shipped_query = of(lambda r: r.query), of(lambda r: r.shipped_query)
    document, shipped_document = of(lambda r: r.document), of(lambda r: r.shipped_document)
    raw, drain = of(lambda r: r.raw_rate), of(lambda r: r.drain_rate)
    beside = of(lambda r: r.query_while_draining)
    return (
        Finding("a query, int8 / as shipped", "x", ratios(query, shipped_query), at_most(0.8)),
        Finding("a 1 kB memory, int8 / as shipped", "x", ratios(document, shipped_document)),
        Finding("a query, int8", "ms", Spread.of(query)),
        Finding("a 1 kB memory, int8", "ms", Spread.of(document)),
        Finding("a query beside the backlog", "ms", Spread.of(beside)),
        # What it would cost to queue behind the document at hand, on average, is half of one.
        Finding("a query beside the backlog / idle", "x", ratios(beside, query), at_most(2.5)),
        Finding("backlog drained / raw embedding", "x", ratios(drain, raw), at_least(0.8)),
        Finding("backlog drained", "1/s", Spread.of(drain)),
    )


def _round(ours: LocalEmbedder, shipped: LocalEmbedder, count: int, seed: int) -> Round:
    texts = Backlog(count, seed).texts
    shipped_query = _median_ms(shipped.embed_query, QUERIES * QUERY_ROUNDS)
    query = _median_ms(ours.embed_query, QUERIES * QUERY_ROUNDS)
    shipped_document = _median_ms(shipped.embed_document, texts[:20])
    document = _median_ms(ours.embed_document, texts[:20])
    raw_rate = _rate(ours, texts)
    drain_rate, _ = _drain(ours, Backlog(count, seed))
    _, beside = _drain(ours, Backlog(count, seed), with_queries=True)
    return Round(shipped_query, query, shipped_document, document, beside, raw_rate, drain_rate)


def _median_ms(embed: Callable[[str], object], texts: Sequence[str]) -> float:
    embed(texts[0])
    took = []
    for text in texts:
        started = time.perf_counter()
        embed(text)
        took.append(time.perf_counter() - started)
    return 1_000 * statistics.median(took)


def _rate(embedder: Embedder, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    for text in texts:
        embedder.embed_document(text)
    return len(texts) / (time.perf_counter() - started)


def _drain(
    embedder: Embedder, backlog: Backlog, *, with_queries: bool = False
) -> tuple[float, float]:
    """Rate of the backlog, and the median query meanwhile in ms (0 without queries)."""
    drained = threading.Event()
    took: list[float] = []

    def ask() -> None:
        while not drained.is_set():
            took.append(_median_ms(embedder.embed_query, QUERIES))

    async def drain() -> float:
        with document_executor() as executor:
            worker = EmbeddingWorker(
                embedder=embedder,
                source=backlog,
                sink=backlog,
                clock=RealClock(),
                executor=executor,
            )
            started = time.perf_counter()
            count = await worker.drain()
            return count / (time.perf_counter() - started)

    asker = threading.Thread(target=ask)
    if with_queries:
        asker.start()
    try:
        rate = asyncio.run(drain())
    finally:
        drained.set()
    if with_queries:
        asker.join()
    return rate, statistics.median(took) if took else 0.0


MEASUREMENT = Measurement(
    "embedding",
    "The packaged MiniLM with its int8 products computed in int8, against the same file as "
    "shipped (which widens them to floats); a query's embedding while the backlog is drained.",
    run,
)

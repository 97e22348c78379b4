"""The text leg over natural questions full of common words, beside the exhaustive ranking."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, quantiles

import apsw

from app.domain.text import fts5_any_of, parse_query
from app.store.schema import migrate
from app.store.sqlite.common_words import BM25, CommonWords
from app.store.sqlite.fulltext import search_any
from bench.baseline.raw_embedding import open_embedder
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
from bench.questions import questions
from bench.textcorpus import Chunk, chunks

ROWS_DEFAULT = 100_000
QUESTIONS = 120
EXHAUSTIVE_QUESTIONS = 40
TOP = 10
POOL = 30  # what a recall of ten rows asks of the leg
BATCH_ROWS = 1_000
LIVE = "m.expires_at IS NULL"
CREATED_AT = "2026-01-01T00:00:00.000000+00:00"
INSERT = (
    "INSERT INTO memories (id, tier, namespace, title, content, tags, priority, confidence, source,"
    " access_count, created_at, updated_at, metadata)"
    " VALUES (?, 'long', ?, ?, ?, '[]', 5, 1.0, 'import', 0, ?, ?, '{}')"
)


def filled(path: Path, row_count: int) -> tuple[apsw.Connection, list[Chunk]]:
    """A database of that many distinct real chunks.

    Raises:
        MeasurementError: This machine has too little text.
    """
    migrate(path, print)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA cache_size = -65536")
    held: list[Chunk] = []
    with connection:
        for number, chunk in enumerate(chunks(count=row_count)):
            title, namespace = f"{chunk.title} {number}", f"bench/{number % 50}"
            row = (f"m{number:07}", namespace, title, chunk.content, CREATED_AT, CREATED_AT)
            connection.execute(INSERT, row)
            held.append(chunk)
    if len(held) < row_count:
        raise MeasurementError(f"only {len(held)} distinct chunks of text on this machine")
    return connection, held


def exhaustive(connection: apsw.Connection, words: tuple[str, ...]) -> list[str]:
    """What FTS5 itself answers when it scores every row that holds any of the words."""
    found = connection.execute(
        f"SELECT m.id FROM memories_fts CROSS JOIN memories AS m ON m.rowid = memories_fts.rowid"
        f" WHERE memories_fts MATCH ? AND {LIVE} ORDER BY {BM25}, m.id LIMIT ?",
        (fts5_any_of(words), TOP),
    )
    return [str(row[0]) for row in found]


def milliseconds(asked: list[str], answer: Callable[[str], object]) -> list[float]:
    spent: list[float] = []
    for question in asked:
        started = time.perf_counter()
        answer(question)
        spent.append((time.perf_counter() - started) * 1_000)
    return spent


def overlaps(
    asked: list[str], ours: Callable[[str], list[str]], truth: Callable[[str], list[str]]
) -> Iterator[float]:
    for question in asked:
        right = set(truth(question))
        yield len(right & set(ours(question))) / len(right) if right else 1.0


def run(options: Options) -> tuple[Finding, ...]:
    connection, held = filled(options.scratch / "text.db", options.rows or ROWS_DEFAULT)
    asked = questions(held, QUESTIONS)
    some = asked[:EXHAUSTIVE_QUESTIONS]
    words = CommonWords()
    embedder = open_embedder()

    def ours(question: str) -> list[str]:
        return [hit.id for hit in search_any(connection, question, LIVE, (), POOL, words)]

    def plain(question: str) -> list[str]:
        return exhaustive(connection, parse_query(question).words)

    started = time.perf_counter()
    words.warm(connection, lambda: False)
    warmed = time.perf_counter() - started
    cold = milliseconds(asked, ours)
    rounds = [
        (
            milliseconds(asked, ours),
            milliseconds(some, plain),
            milliseconds(some, embedder.embed_query),
        )
        for _ in range(options.repeats)
    ]
    embedder.close()
    leg, all_rows, embedding = ([_median(each[part]) for each in rounds] for part in range(3))
    same = list(
        overlaps(
            some,
            lambda question: ours(question)[:TOP],
            lambda question: exhaustive(connection, parse_query(question).content_words),
        )
    )
    with_function_words = list(overlaps(some, lambda question: ours(question)[:TOP], plain))
    return (
        Finding("text leg, p50", "ms", Spread.of(leg)),
        Finding("text leg, p99", "ms", Spread.of(_p99(each[0]) for each in rounds)),
        Finding("text leg, first time each question is asked, p99", "ms", Spread.of([_p99(cold)])),
        Finding("every matching row scored, p50", "ms", Spread.of(all_rows)),
        Finding("embedding of the question, p50", "ms", Spread.of(embedding)),
        Finding("text leg / embedding of the question", "x", ratios(leg, embedding), at_most(1.0)),
        Finding("text leg / every matching row scored", "x", ratios(leg, all_rows)),
        Finding("top 10 shared with the full ranking", "x", Spread.of([mean(same)]), at_least(0.9)),
        Finding(
            "top 10 shared with a ranking that counts function words",
            "x",
            Spread.of([mean(with_function_words)]),
        ),
        Finding("arrays of common words", "MB", Spread.of([words.byte_count / 1e6])),
        Finding("taking the arrays, in the background", "s", Spread.of([warmed])),
    )


def _median(values: list[float]) -> float:
    return quantiles(values, n=2)[0]


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


MEASUREMENT = Measurement(
    "text-leg",
    "Natural questions over distinct chunks of real documentation, manual pages and docstrings"
    " (the standard library's left out), against FTS5 scoring every row that matches any word.",
    run,
)

"""A store of many real texts with vectors, made once and kept under .local-runs/ for later runs.

Every text is a real one. Embedding a hundred thousand of them takes an hour here, so the first few
thousand have their own vectors, and each further one has one of those plus noise: as costly to
search and as clustered, but not about its text. So no quality is judged on these vectors, except
against an exact search of the same ones.
"""

import asyncio
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.bootstrap.sources import SystemClock, SystemDisk, SystemRandomness
from app.domain.errors import InvalidInputError
from app.domain.text import content_hash
from app.recall.embedding.protocol import Embedded, Embedder, embedding_text
from app.services.commands.embeddings import RecordVector
from app.services.commands.memories import StoreMemory
from app.store.protocol import Command
from app.store.registry import StoreOptions, open_store
from app.store.sqlite.adapter import Sources, SqliteStore
from bench.baseline.rows import Row
from bench.baseline.template import store_command
from bench.measurement import MeasurementError
from bench.questions import questions
from bench.textcorpus import Chunk, chunks

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[1]
KEPT = REPOSITORY / ".local-runs"
DATABASE = "node.db"
QUESTIONS = "questions.json"
QUESTIONS_MAX = 2_000
NAMESPACES = 50  # so that one holds 2 % of the rows
EMBEDDED_MAX = 2_000
NOISE = 0.9  # length of the noise beside a unit vector: a cosine of about 0.74 to its origin
BATCH_ROWS = 500
GRAPH_POLL_SECONDS = 0.5
MMAP_BYTES = 268_435_456  # the default of `[storage] db_mmap_size_bytes`
VERSION = 1  # of what this file makes of a text
# What decides how a stored row looks; other code may change without a new database.
FORMAT_SOURCES = (
    "app/log",
    "app/store/tables",
    "app/store/writing/rows.py",
    "app/store/sqlite/vector_graph.py",
    "app/store/sqlite/vector_snapshot.py",
    "bench/textcorpus.py",
    "migrations",
)


@dataclass(frozen=True)
class CorpusStore:
    """A database file with the files beside it, and questions that its texts answer."""

    database: Path
    questions: Sequence[str]


def copied(row_count: int, folder: Path, embedder: Embedder) -> CorpusStore:
    """A copy of the kept store of that many rows, to be written to freely.

    Raises:
        MeasurementError: This machine has too little text.
    """
    kept = _kept(row_count, embedder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in kept.iterdir():
        shutil.copyfile(file, folder / file.name)
    asked: list[str] = msgspec.json.decode((folder / QUESTIONS).read_bytes(), type=list[str])
    return CorpusStore(folder / DATABASE, asked)


def opened(database: Path, embedder: Embedder) -> SqliteStore:
    """The store in this process, as a node opens it."""
    return open_store(
        StoreOptions(
            database, MMAP_BYTES, model=embedder.fingerprint, dim=embedder.dim, index_texts=True
        ),
        Sources(SystemClock(), SystemRandomness(), SystemDisk()),
        lambda _what, _done, _total: None,
    )


def namespace_of(number: int) -> str:
    return f"bench/{number % NAMESPACES}"


def identifier_of(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


def _kept(row_count: int, embedder: Embedder) -> Path:
    name = f"corpus-{row_count}-"
    folder = KEPT / f"{name}{_key(embedder)}"
    if folder.is_dir():
        return folder
    for older in KEPT.glob(f"{name}*"):
        shutil.rmtree(older)
    print(f"making a store of {row_count:,} texts, once", flush=True)
    vectors = _real_vectors(min(row_count, EMBEDDED_MAX), embedder)
    partial = KEPT / f"part-{name}{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        asyncio.run(_fill(partial / DATABASE, row_count, vectors, embedder))
    except BaseException:
        shutil.rmtree(partial)
        raise
    asked = questions(_texts(row_count), QUESTIONS_MAX)
    (partial / QUESTIONS).write_bytes(msgspec.json.encode(asked))
    for leftover in (".lock", ".sock", "-wal", "-shm"):
        (partial / (DATABASE + leftover)).unlink(missing_ok=True)
    partial.rename(folder)
    return folder


def _key(embedder: Embedder) -> str:
    digest = hashlib.sha256(f"{VERSION} {embedder.fingerprint}".encode())
    for name in FORMAT_SOURCES:
        source = REPOSITORY / name
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _texts(count: int) -> Iterator[Chunk]:
    made = 0
    for chunk in chunks(count=count):
        yield chunk
        made += 1
    if made < count:
        raise MeasurementError(f"only {made} distinct chunks of text on this machine")


def _row(number: int, chunk: Chunk) -> Row:
    title, content = _clean(chunk.title), _clean(chunk.content)
    return Row(identifier_of(number), f"{title} {number}", content, namespace_of(number), b"")


def _clean(text: str) -> str:
    """Without the control characters of manual pages, which no memory may hold."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _real_vectors(count: int, embedder: Embedder) -> NDArray[np.float32]:
    source = hashlib.sha256((REPOSITORY / "bench/textcorpus.py").read_bytes()).hexdigest()[:8]
    model = hashlib.sha256(embedder.fingerprint.encode()).hexdigest()[:8]
    file = KEPT / f"vectors-{count}-{model}-{source}.npy"
    if not file.exists():
        rows = (_row(number, chunk) for number, chunk in enumerate(_texts(count)))
        made = [embedder.embed_document(embedding_text(row.title, row.content)) for row in rows]
        np.save(file, np.stack(made))
    vectors: NDArray[np.float32] = np.load(file)
    return vectors


class _Vectors:
    """A unit vector for each row: its own, or a real one with noise."""

    def __init__(self, real: NDArray[np.float32]) -> None:
        self._real = real
        self._chance = np.random.default_rng(20260601)

    def of(self, number: int) -> NDArray[np.float16]:
        if number < len(self._real):
            own: NDArray[np.float16] = self._real[number].astype(np.float16)
            return own
        width = self._real.shape[1]
        noise = self._chance.standard_normal(width, np.float32) * (NOISE / np.sqrt(width))
        vector = self._real[number % len(self._real)] + noise
        moved: NDArray[np.float16] = (vector / np.linalg.norm(vector)).astype(np.float16)
        return moved


async def _fill(
    database: Path, row_count: int, real: NDArray[np.float32], embedder: Embedder
) -> None:
    store = opened(database, embedder)
    vectors = _Vectors(real)
    try:
        texts = enumerate(_texts(row_count))
        while batch := list(islice(texts, BATCH_ROWS)):
            rows = [_row(number, chunk) for number, chunk in batch]
            await _submit(store, [_command(row) for row in rows])
            made = [
                Embedded(row.id, content_hash(row.title, row.content), vectors.of(number))
                for (number, _), row in zip(batch, rows, strict=True)
            ]
            await _submit(store, [RecordVector(one, embedder.fingerprint) for one in made])
        await _graphed(store)
    finally:
        await store.close()


def _command(row: Row) -> StoreMemory:
    try:
        return store_command(row, datetime.now(UTC), tier="long")
    except InvalidInputError as error:
        raise MeasurementError(f"a text of the corpus is refused: {error.message}") from error


async def _submit(store: SqliteStore, commands: Sequence[Command[T]]) -> None:
    for outcome in await store.submit_all(commands):
        if isinstance(outcome, Exception):
            raise MeasurementError(f"a row of the corpus was refused: {outcome}") from outcome


async def _graphed(store: SqliteStore) -> None:
    """Wait until the index is what a node that ran for a while has."""
    while (await store.status()).vectors_outside_index:  # noqa: ASYNC110 - it announces nothing
        await asyncio.sleep(GRAPH_POLL_SECONDS)

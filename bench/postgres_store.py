"""The kept store of real texts, copied into a PostgreSQL server of its own for one measurement."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import apsw
import numpy as np
import psycopg
from psycopg import sql

from app.bootstrap.sources import SystemClock, SystemRandomness
from app.recall.embedding.protocol import Embedder
from app.store.postgres import schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.lexemes import search_text
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.writing.rows import INDEXED_COLUMNS, PLAIN_COLUMNS
from bench.measurement import MeasurementError
from tools.postgres.cluster import Cluster
from tools.postgres.errors import NoPostgresError
from tools.postgres.obtain import own_cluster

DATABASE = "bench"
# Made anew after the rows are there: row by row the graph alone takes a quarter of an hour.
HNSW = "memories_embedding_hnsw"
CREATE_HNSW = f"CREATE INDEX {HNSW} ON memories USING hnsw (embedding vector_cosine_ops)"
COPIED = ("id", *INDEXED_COLUMNS, *PLAIN_COLUMNS)
ADDED = ("search", "search_tokens", "embedding", "embedding_dim")
VECTOR_COLUMNS = ("memory_id", "stamp", "content_hash", "model", "dim", "vector")
SETTINGS = {"shared_buffers": "512MB", "maintenance_work_mem": "512MB", "max_wal_size": "4GB"}


@contextmanager
def server(settings: Mapping[str, str]) -> Iterator[Cluster]:
    """A server of our own with these settings, for one measurement.

    Raises:
        MeasurementError: There is none for this machine.
    """
    try:
        with own_cluster(print) as cluster:
            cluster.halt()
            cluster.start(settings)
            yield cluster
    except NoPostgresError as error:
        raise MeasurementError(str(error)) from error


def new_database(cluster: Cluster, name: str) -> str:
    """The address of a new database with our schema."""
    cluster.execute(f"CREATE DATABASE {name}")
    address = cluster.url(name)
    schema.migrate(PostgresUrl.parse(address), lambda _: None)
    return address


@contextmanager
def served(database: Path) -> Iterator[str]:
    """The address of a database that holds what an SQLite store's file holds."""
    with server(SETTINGS) as cluster:
        address = new_database(cluster, DATABASE)
        fill(address, database)
        yield address


def opened(address: str, embedder: Embedder) -> PostgresStore:
    """The store in this process, as a node opens it."""
    options = WriteOptions(PostgresOptions(PostgresUrl.parse(address)), model=embedder.fingerprint)
    return PostgresStore(options, SystemClock(), SystemRandomness(), dim=embedder.dim)


def fill(address: str, database: Path) -> None:
    """Copy the live rows and their vectors; without the log behind them."""
    source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    with closing(source), psycopg.connect(address) as target:
        target.execute(f"DROP INDEX {HNSW}")
        _copy(target, "memories", (*COPIED, *ADDED), _memories(source))
        _copy(target, "memory_vectors", VECTOR_COLUMNS, _vectors(source))
        target.execute(CREATE_HNSW)
    with psycopg.connect(address, autocommit=True) as target:
        target.execute("VACUUM (ANALYZE) memories")
        target.execute("VACUUM (ANALYZE) memory_vectors")


def _copy(
    target: psycopg.Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Iterator[tuple[object, ...]],
) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _memories(source: apsw.Connection) -> Iterator[tuple[object, ...]]:
    columns = ", ".join(f"m.{name}" for name in COPIED)
    found = source.execute(
        f"SELECT v.vector, v.dim, {columns} FROM memories AS m"
        " LEFT JOIN memory_vectors AS v ON v.memory_id = m.id ORDER BY m.rowid"
    )
    for vector, dim, *row in found:
        text = search_text(*(str(row[COPIED.index(name)]) for name in INDEXED_COLUMNS))
        shown = None
        if vector is not None:
            halves = np.frombuffer(cast("bytes", vector), "<f2")
            shown = str(halves.astype("<f4").tolist())
        yield *row, text.literal, text.token_count, shown, dim


def _vectors(source: apsw.Connection) -> Iterator[tuple[object, ...]]:
    yield from source.execute(f"SELECT {', '.join(VECTOR_COLUMNS)} FROM memory_vectors ORDER BY no")

"""What a row takes on disk, in tables, indexes and log, on either database."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import apsw
import psycopg

from bench.baseline.raw_embedding import open_embedder
from bench.corpus_store import copied
from bench.measurement import Finding, Measurement, MeasurementError, Options, Spread
from bench.postgres_store import CREATE_HNSW, DATABASE, HNSW, SETTINGS
from tests.integration.node import REPOSITORY, own_environment
from tools.postgres.obtain import own_cluster

ROWS_DEFAULT = 10_000
GRAPH_SUFFIX = ".vectors"
LOG = "the log"
STATES = "states, names and hashes"
MEMORIES = "memories"
MEMORY_INDEXES = "memories, indexes of columns"
TEXT = "text index"
VECTORS = "vectors as stored"
GRAPH = "graph over vectors"
PARTS = (MEMORIES, MEMORY_INDEXES, TEXT, STATES, VECTORS, GRAPH, LOG)

Parts = Mapping[str, int]
"""Part of the store → bytes."""

_BY_TABLE = {
    "log_entries": LOG,
    "memory_state": STATES,
    "name_claims": STATES,
    "text_duplicates": STATES,
    "memory_vectors": VECTORS,
}
_TEXT_INDEXES = {"memories_tsv_gin", "memories_search_gin"}
_SQLITE_SIZES = (
    "SELECT d.name, s.tbl_name, s.type, sum(d.pgsize) FROM dbstat AS d"
    " JOIN sqlite_schema AS s ON s.name = d.name GROUP BY 1"
)
# A table's long values are in another one beside it, which counts to it.
_POSTGRES_SIZES = """
    SELECT c.relname, c.relname, 'table', pg_table_size(c.oid) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    WHERE c.relkind = 'r'
    UNION ALL
    SELECT i.relname, c.relname, 'index', pg_relation_size(i.oid) FROM pg_index AS x
    JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS c ON c.oid = x.indrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = current_schema()
"""


def run(options: Options) -> tuple[Finding, ...]:
    row_count = options.rows or ROWS_DEFAULT
    folder = options.scratch / "source"
    embedder = open_embedder()
    try:
        database = copied(row_count, folder, embedder).database
    finally:
        embedder.close()
    file = _in_file(database)
    with own_cluster(print) as cluster:
        cluster.halt()
        cluster.start(SETTINGS)
        cluster.execute(f"CREATE DATABASE {DATABASE}")
        address = cluster.url(DATABASE)
        _move(database, address, options.scratch)
        server = _on_server(address)
        built = _graph_seconds(address)
    findings = [
        Finding(f"{place}: {part}", "B a row", Spread.of([parts.get(part, 0) / row_count]))
        for place, parts in (("SQLite", file), ("PostgreSQL", server))
        for part in PARTS
    ]
    for place, parts in (("SQLite", file), ("PostgreSQL", server)):
        whole = sum(parts.values()) / row_count
        findings.append(Finding(f"{place}: all of it", "B a row", Spread.of([whole])))
    text = Spread.of([_text_bytes(database)])
    findings.append(Finding("title and content of a row", "B a row", text))
    findings.append(Finding("making PostgreSQL's graph over vectors", "s", Spread.of([built])))
    return tuple(findings)


def _in_file(database: Path) -> Parts:
    with closing(apsw.Connection(str(database))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rows = connection.execute(_SQLITE_SIZES).fetchall()
    found = _parts(rows, lambda name: name.startswith("memories_fts"))
    return {**found, GRAPH: database.with_name(database.name + GRAPH_SUFFIX).stat().st_size}


def _on_server(address: str) -> Parts:
    with closing(psycopg.connect(address, autocommit=True)) as connection:
        connection.execute("VACUUM (ANALYZE)")
        rows = connection.execute(_POSTGRES_SIZES.encode()).fetchall()
    return _parts(rows, lambda name: name in _TEXT_INDEXES)


def _parts(rows: list[tuple[object, ...]], is_text: Callable[[str], bool]) -> dict[str, int]:
    """Sum (name, table, type, bytes) up; what is small counts to the states."""
    found: defaultdict[str, int] = defaultdict(int)
    for name, table, kind, size in rows:
        assert isinstance(size, int)
        if is_text(str(name)) or is_text(str(table)):
            part = TEXT
        elif name == HNSW:
            part = GRAPH
        elif table == "memories":
            part = MEMORIES if kind == "table" else MEMORY_INDEXES
        else:
            part = _BY_TABLE.get(str(table), STATES)
        found[part] += size
    return found


def _move(database: Path, address: str, scratch: Path) -> None:
    words = ["migrate", "--from", f"sqlite://{database}", "--to", address]
    done = subprocess.run(
        [sys.executable, "-m", "app", *words],
        cwd=REPOSITORY,
        env=own_environment(scratch, {"PYTHONPATH": os.fspath(REPOSITORY)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MeasurementError(f"the store does not move: {done.stderr.strip()[-300:]}")


def _graph_seconds(address: str) -> float:
    with closing(psycopg.connect(address, autocommit=True)) as connection:
        connection.execute(f"DROP INDEX {HNSW}".encode())
        begun = time.perf_counter()
        connection.execute(CREATE_HNSW.encode())
        return time.perf_counter() - begun


def _text_bytes(database: Path) -> float:
    with closing(apsw.Connection(str(database))) as connection:
        asked = "SELECT avg(length(CAST(title AS BLOB)) + length(CAST(content AS BLOB)))"
        found = connection.execute(f"{asked} FROM memories").fetchone()
    assert found is not None
    return float(found[0])


MEASUREMENT = Measurement(
    "row-bytes",
    "Bytes of a store of real texts with vectors of 384 dimensions, by what they are for: a file,"
    " and the same store moved to PostgreSQL. Freshly written: updates and deletes leave gaps.",
    run,
)

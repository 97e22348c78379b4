"""How the schema tests open a file and ask its text index."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path


def silent(_: str) -> None:
    """Nobody listens to the progress."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def matches(connection: sqlite3.Connection, query: str) -> int:
    sql = "SELECT count(*) FROM memories_fts WHERE memories_fts MATCH ?"
    return int(connection.execute(sql, (query,)).fetchone()[0])


def assert_index_agrees(connection: sqlite3.Connection) -> None:
    # rank = 1 compares the index with the content table.
    connection.execute("INSERT INTO memories_fts(memories_fts, rank) VALUES ('integrity-check', 1)")

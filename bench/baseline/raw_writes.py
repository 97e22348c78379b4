"""The barest durable write: one connection, prepared statements, one transaction a batch."""

from collections.abc import Sequence
from pathlib import Path

import apsw
from sqlalchemy import Table, bindparam, create_engine, insert
from sqlalchemy.dialects import sqlite

from app.store.tables import log_entries, memories, memory_state, name_claims
from app.store.tables.schema_metadata import metadata
from bench.baseline.rows import CREATED_AT, HASH, HEADER, METADATA, STATE_EXTRA, Row

HLC_FIRST = 1 << 60

_MEMORY_COLUMNS = (
    "id",
    "tier",
    "namespace",
    "title",
    "content",
    "created_at",
    "updated_at",
    "metadata",
)
_LOG_COLUMNS = ("origin_no", "seq", "hlc", "kind", "header", "payload", "payload_hash", "hash")


def _insert(table: Table, columns: Sequence[str]) -> str:
    statement = insert(table).values({column: bindparam(column) for column in columns})
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="qmark")))


class RawStore:
    """A new store file that only takes memories, durably (WAL, `synchronous=FULL`).

    To be used by the thread that made it.
    """

    def __init__(self, file: Path) -> None:
        engine = create_engine(f"sqlite:///{file}")
        metadata.create_all(engine)
        engine.dispose()
        self._connection = apsw.Connection(str(file))
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._seq = 0
        # One list of values fits all four statements once it is cut; order follows the columns.
        self._memory = _insert(memories, _MEMORY_COLUMNS)
        self._state = _insert(memory_state, ("id", "state", "row_hash"))
        self._claim = _insert(name_claims, ("namespace", "title", "memory_id", "stamp"))
        self._log = _insert(log_entries, _LOG_COLUMNS)

    def commit(self, rows: Sequence[Row]) -> None:
        """Store the rows in one transaction; they are on disk when this returns."""
        execute, many = self._connection.execute, self._connection.executemany
        execute("BEGIN IMMEDIATE")
        many(self._memory, [_memory_values(row) for row in rows])
        many(self._state, [(row.id, row.content.encode() + STATE_EXTRA, HASH) for row in rows])
        many(self._claim, [(row.namespace, row.title, row.id, CREATED_AT) for row in rows])
        many(self._log, [self._log_values(row) for row in rows])
        execute("COMMIT")

    def count(self) -> int:
        row = self._connection.execute("SELECT count(*) FROM memories").fetchone()
        assert row is not None
        total: int = row[0]
        return total

    def close(self) -> None:
        self._connection.close()

    def _log_values(self, row: Row) -> tuple[int, int, int, str, bytes, bytes, bytes, bytes]:
        self._seq += 1
        payload = f"{row.title} {row.content}".encode()
        return (1, self._seq, HLC_FIRST + self._seq, "store", HEADER, payload, HASH, HASH)


def _memory_values(row: Row) -> tuple[str, ...]:
    return (
        row.id,
        "mid",
        row.namespace,
        row.title,
        row.content,
        CREATED_AT,
        CREATED_AT,
        METADATA,
    )

"""The barest durable write: one connection, prepared statements, one transaction a batch."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Table, bindparam, create_engine, insert
from sqlalchemy.dialects import sqlite

from app.store.sqlite.connection import FileOptions, open_writer
from app.store.tables import (
    agent_quotas,
    digest_buckets,
    log_entries,
    memories,
    memory_state,
    name_claims,
    text_duplicates,
)
from app.store.tables.schema_metadata import metadata
from bench.baseline.rows import Row
from bench.baseline.template import Template, Value

HLC_FIRST = 1 << 60
ORIGIN_NO = 1
TEXT_COLUMNS = ("id", "namespace", "title", "content")
LOG_COLUMNS = ("origin_no", "seq", "hlc", "kind", "header", "payload", "payload_hash", "hash")


def _insert(table: Table, columns: Sequence[str], suffix: str = "") -> str:
    statement = insert(table).values({column: bindparam(column) for column in columns})
    return f"{statement.compile(dialect=sqlite.dialect(paramstyle='qmark'))} {suffix}"


def _replacing(table: Table) -> str:
    keys = [column.name for column in table.primary_key]
    changed = [column.name for column in table.c if column.name not in keys]
    assignments = ", ".join(f"{name} = excluded.{name}" for name in changed)
    suffix = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {assignments}"
    return _insert(table, table.c.keys(), suffix)


class RawStore:
    """A new store file that only takes memories, durably, opened as the node opens its own.

    To be used by the thread that made it.
    """

    def __init__(self, file: Path, template: Template) -> None:
        engine = create_engine(f"sqlite:///{file}")
        metadata.create_all(engine)
        engine.dispose()
        self._connection = open_writer(FileOptions(file))
        self._connection.execute(
            "INSERT INTO log_origins (origin_no, origin, is_self) VALUES (?, ?, 1)",
            (ORIGIN_NO, template.origin),
        )
        self._template = template
        # SQLAlchemy puts the values in the order of the table's columns.
        columns = [one.name for one in memories.c if one.name in template.memory]
        self._memory = _insert(memories, columns)
        self._state = _insert(memory_state, ("id", "state", "row_hash", "collected"))
        self._claim = _insert(name_claims, ("namespace", "title", "memory_id", "stamp"))
        self._log = _insert(log_entries, LOG_COLUMNS)
        self._text = _insert(text_duplicates, ("text_hash", "memory_id"))
        self._digest = _replacing(digest_buckets)
        self._quota = _replacing(agent_quotas)
        self._rest = [template.memory[name] for name in columns]
        self._places = [columns.index(name) for name in TEXT_COLUMNS]
        self._seq = 0

    def commit(self, rows: Sequence[Row]) -> None:
        """Store the rows in one transaction; they are on disk when this returns."""
        execute, many = self._connection.execute, self._connection.executemany
        template = self._template
        execute("BEGIN IMMEDIATE")
        many(self._log, [self._log_values(row) for row in rows])
        many(self._state, [(row.id, with_text(template.state, row), row.hash, 0) for row in rows])
        many(
            self._claim,
            [(row.namespace, row.title, row.id, template.claim_stamp) for row in rows],
        )
        many(self._memory, [self._memory_values(row) for row in rows])
        many(self._text, [(row.hash, row.id) for row in rows])
        many(self._digest, list({row.hash[0]: row.hash for row in rows}.items()))
        many(self._quota, template.quotas)
        execute(
            "UPDATE log_origins SET head_seq = ?, head_hash = ?, head_hlc = ? WHERE origin_no = ?",
            (self._seq, rows[-1].hash, HLC_FIRST + self._seq, ORIGIN_NO),
        )
        execute("COMMIT")

    def count(self) -> int:
        row = self._connection.execute("SELECT count(*) FROM memories").fetchone()
        assert row is not None
        total: int = row[0]
        return total

    def close(self) -> None:
        self._connection.close()

    def _log_values(self, row: Row) -> tuple[Value, ...]:
        self._seq += 1
        template = self._template
        stamp = HLC_FIRST + self._seq
        payload = with_text(template.payload, row)
        head = (ORIGIN_NO, self._seq, stamp, template.entry_kind, template.header)
        return (*head, payload, row.hash, row.hash)

    def _memory_values(self, row: Row) -> list[Value]:
        values = self._rest.copy()
        texts = (row.id, row.namespace, row.title, row.content)
        for place, text in zip(self._places, texts, strict=True):
            values[place] = text
        return values


def with_text(rest: bytes, row: Row) -> bytes:
    """Bytes of the size that the node's would have, with the row's text in them."""
    return rest + row.title.encode() + row.content.encode()

"""Hot statements: built from the declared tables once, run as driver text.

Many rows go into one statement: one step a chunk, so the writer gives up the
interpreter lock a few times a batch and not a few times a row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw
    from sqlalchemy import Table

    from app.store.sql.selects import SqlValue

# Few distinct texts, so that each stays in the driver's statement cache.
CHUNKS: Final = (64, 16, 4, 1)


def insert_text(table: Table, columns: Sequence[str], suffix: str = "") -> _Insert:
    """An INSERT of any number of rows into `table`; unknown columns fail here, not later."""
    unknown = set(columns) - set(table.c.keys())
    if unknown:
        message = f"{table.name} has no columns {sorted(unknown)}"
        raise KeyError(message)
    return _Insert(table.name, tuple(columns), suffix)


class _Insert:
    """`INSERT INTO table (columns) VALUES (…), … suffix`."""

    def __init__(self, table: str, columns: tuple[str, ...], suffix: str) -> None:
        self._head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - declared names
        self._row = f"({', '.join('?' * len(columns))})"
        self._suffix = f" {suffix}" if suffix else ""
        self.text = cache(self._text)

    def _text(self, rows: int) -> str:
        return self._head + ", ".join([self._row] * rows) + self._suffix

    def run(self, connection: apsw.Connection, rows: Sequence[Sequence[SqlValue]]) -> None:
        """Insert all rows, in order."""
        for chunk in _chunks(rows):
            connection.execute(self.text(len(chunk)), _flat(chunk))

    def run_in_fewest(
        self, connection: apsw.Connection, rows: Sequence[Sequence[SqlValue]]
    ) -> None:
        """Insert all rows in as few statements as fit, at the price of more distinct texts.

        For a table whose triggers feed the full-text index: each statement opens a savepoint, and
        at every savepoint FTS5 writes what it has gathered as a segment of its own.
        """
        for start in range(0, len(rows), CHUNKS[0]):
            chunk = rows[start : start + CHUNKS[0]]
            connection.execute(self.text(len(chunk)), _flat(chunk))


def replacing(keys: Sequence[str], columns: Sequence[str]) -> str:
    """The suffix that makes an INSERT replace `columns` of a row whose `keys` are there."""
    changes = ", ".join(f"{one} = excluded.{one}" for one in columns)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"


def update_text(table: Table, key: str, columns: Sequence[str]) -> _Update:
    """An UPDATE of many rows by key; a row is (key, *values)."""
    unknown = {key, *columns} - set(table.c.keys())
    if unknown:
        message = f"{table.name} has no columns {sorted(unknown)}"
        raise KeyError(message)
    return _Update(table.name, key, tuple(columns))


class _Update:
    """`WITH v AS (VALUES …) UPDATE table SET … FROM v`: touches the named columns only."""

    def __init__(self, table: str, key: str, columns: tuple[str, ...]) -> None:
        self._names = ", ".join((f"v_{key}", *(f"v_{one}" for one in columns)))
        self._row = f"({', '.join('?' * (len(columns) + 1))})"
        assignments = ", ".join(f"{one} = v_{one}" for one in columns)
        self._tail = f" UPDATE {table} SET {assignments} FROM v WHERE {table}.{key} = v_{key}"  # noqa: S608 - declared names
        self.text = cache(self._text)

    def _text(self, rows: int) -> str:
        return f"WITH v({self._names}) AS (VALUES {', '.join([self._row] * rows)}){self._tail}"

    def run(self, connection: apsw.Connection, rows: Sequence[Sequence[SqlValue]]) -> None:
        """Update all rows."""
        for chunk in _chunks(rows):
            connection.execute(self.text(len(chunk)), _flat(chunk))


def _chunks(rows: Sequence[Sequence[SqlValue]]) -> Iterator[Sequence[Sequence[SqlValue]]]:
    start = 0
    for size in CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _flat(rows: Sequence[Sequence[SqlValue]]) -> list[SqlValue]:
    return [value for row in rows for value in row]

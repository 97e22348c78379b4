"""The engine's statements as SQLite runs them: built from the declared tables once, as driver text.

Many rows go into one statement: one step a chunk, so the writer gives up the
interpreter lock a few times a batch and not a few times a row.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, cast

from sqlalchemy import LargeBinary
from typing_extensions import override

from app.store.sqlite.stored import json_array
from app.store.writing.statements import (
    Change,
    ChangeEach,
    Delete,
    Insert,
    Keep,
    Query,
    Read,
    Select,
    Update,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import apsw

    from app.store.sql.selects import SqlValue

    Row = Sequence[SqlValue]

# Few distinct texts, so that each stays in the driver's statement cache.
CHUNKS: Final = (64, 16, 4, 1)


class Rendered(Protocol):
    """A write as driver text."""

    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        """Write all rows, in order."""
        ...


class RenderedRead(Protocol):
    """A read as driver text."""

    def run(
        self, connection: apsw.Connection, parameters: Sequence[SqlValue] | Sequence[Row]
    ) -> apsw.Cursor:
        """The rows found."""
        ...


def rendered(statement: Write) -> Rendered:
    """How SQLite runs a write."""
    match statement:
        case Insert(feeds_text_index=True):
            return _GatheredInsert(statement)
        case Insert():
            return _Insert(statement)
        case Update():
            return _Update(statement)
        case Delete():
            return _delete(statement)
        case ChangeEach():
            return _Each(statement.sqlite)
        case Change():
            return _Change(statement.text)


def _delete(statement: Delete) -> Rendered:
    table, keys = statement.table.name, statement.keys
    if len(keys) == 1:
        return _Each(
            f"DELETE FROM {table} WHERE {keys[0]} IN (SELECT value ->> 0 FROM json_each(?))"  # noqa: S608 - declared names
        )
    condition = " AND ".join(f"{one} = ?" for one in keys)
    return _Change(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608 - declared names


def rendered_read(statement: Read) -> RenderedRead:
    """How SQLite runs a read."""
    if isinstance(statement, Query):
        return _Query(statement.text)
    if any(isinstance(statement.table.c[key].type, LargeBinary) for key in statement.keys):
        return _SelectOfBytes(statement)
    return _Select(statement)


class _Insert:
    """`INSERT INTO table (columns) VALUES (…), … suffix`."""

    def __init__(self, statement: Insert) -> None:
        columns = statement.columns
        self._head = f"INSERT INTO {statement.table.name} ({', '.join(columns)}) VALUES "  # noqa: S608 - declared names
        self._row = f"({', '.join('?' * len(columns))})"
        self._suffix = _suffix(statement)
        self._texts = cache(self._text)

    def _text(self, rows: int) -> str:
        return self._head + ", ".join([self._row] * rows) + self._suffix

    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        for chunk in _chunks(rows):
            connection.execute(self._texts(len(chunk)), _flat(chunk))


class _GatheredInsert(_Insert):
    """All rows in as few statements as fit, at the price of more distinct texts.

    For a table whose triggers feed the full-text index: each statement opens a savepoint, and
    at every savepoint FTS5 writes what it has gathered as a segment of its own.
    """

    @override
    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), CHUNKS[0]):
            chunk = rows[start : start + CHUNKS[0]]
            connection.execute(self._texts(len(chunk)), _flat(chunk))


def _suffix(statement: Insert) -> str:
    conflict = statement.conflict
    if conflict is None:
        return ""
    if isinstance(conflict, Keep):
        return " ON CONFLICT DO NOTHING"
    changes = ", ".join(f"{one} = excluded.{one}" for one in conflict.columns)
    return f" ON CONFLICT ({', '.join(conflict.keys)}) DO UPDATE SET {changes}"


class _Update:
    """`WITH v AS (VALUES …) UPDATE table SET … FROM v`: touches the named columns only."""

    def __init__(self, statement: Update) -> None:
        table, key, columns = statement.table.name, statement.key, statement.columns
        self._names = ", ".join((f"v_{key}", *(f"v_{one}" for one in columns)))
        self._row = f"({', '.join('?' * (len(columns) + 1))})"
        assignments = ", ".join(f"{one} = v_{one}" for one in columns)
        self._tail = f" UPDATE {table} SET {assignments} FROM v WHERE {table}.{key} = v_{key}"  # noqa: S608 - declared names
        self._texts = cache(self._text)

    def _text(self, rows: int) -> str:
        return f"WITH v({self._names}) AS (VALUES {', '.join([self._row] * rows)}){self._tail}"

    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        for chunk in _chunks(rows):
            connection.execute(self._texts(len(chunk)), _flat(chunk))


class _Each:
    """One statement that reads all rows from `json_each`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        connection.execute(self._text, (json_array(rows),))


class _Change:
    """A statement a row."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run(self, connection: apsw.Connection, rows: Sequence[Row]) -> None:
        connection.executemany(self._text, rows)


class _Query:
    def __init__(self, text: str) -> None:
        self._text = text

    def run(
        self, connection: apsw.Connection, parameters: Sequence[SqlValue] | Sequence[Row]
    ) -> apsw.Cursor:
        return connection.execute(self._text, cast("Sequence[SqlValue]", parameters))


class _Select:
    def __init__(self, statement: Select) -> None:
        table, keys = statement.table.name, statement.keys
        columns = ", ".join(f"{table}.{one}" for one in statement.columns)
        if len(keys) == 1:
            # The planner goes through an IN list key by key, as through a join, and leaves doubles.
            self._text = (
                f"SELECT {columns} FROM {table} WHERE {keys[0]} IN"  # noqa: S608 - declared names
                " (SELECT value ->> 0 FROM json_each(?))"
            )
        else:
            same = " AND ".join(f"{table}.{key} = g.value ->> {i}" for i, key in enumerate(keys))
            self._text = f"SELECT {columns} FROM json_each(?) AS g JOIN {table} ON {same}"  # noqa: S608 - declared names

    def run(
        self, connection: apsw.Connection, parameters: Sequence[SqlValue] | Sequence[Row]
    ) -> apsw.Cursor:
        return connection.execute(self._text, (json_array(parameters),))


class _SelectOfBytes:
    """JSON carries no bytes: a mark a key."""

    def __init__(self, statement: Select) -> None:
        (key,) = statement.keys
        self._head = (
            f"SELECT {', '.join(statement.columns)} FROM {statement.table.name} WHERE {key} IN"  # noqa: S608 - declared names
        )

    def run(
        self, connection: apsw.Connection, parameters: Sequence[SqlValue] | Sequence[Row]
    ) -> apsw.Cursor:
        keys = _flat(cast("Sequence[Row]", parameters))
        return connection.execute(f"{self._head} ({', '.join('?' * len(keys))})", keys)


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    for size in CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


def _flat(rows: Sequence[Row]) -> list[SqlValue]:
    return [value for row in rows for value in row]

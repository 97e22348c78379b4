"""The engine's statements as PostgreSQL runs them: one for all rows, an array a column.

The text does not depend on the number of rows, so the server plans each statement once.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from sqlalchemy import Column, LargeBinary, Text
from sqlalchemy.dialects import postgresql

from app.store.postgres.arrays import array_of
from app.store.postgres.lexemes import search_text
from app.store.tables import memories
from app.store.tables.types import Embedding, JsonText
from app.store.writing.rows import INDEXED_COLUMNS
from app.store.writing.statements import (
    Change,
    ChangeEach,
    Delete,
    Insert,
    Keep,
    Query,
    Replace,
    Select,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Table

    from app.store.postgres.arrays import Array
    from app.store.sql.selects import SqlValue

    Row = Sequence[SqlValue]
    Conversion = Callable[[str], str] | Callable[[bytes], str] | Callable[[int], bool] | None

_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# An escape counts when an even number of backslashes stands before it.
_NUL_IN_JSON: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_ESCAPE: Final = "\ufffe"  # a code point that is no character
_FLOAT_BYTES: Final = 4
# Made of a memory's text as it is written: see `lexemes`.
_SEARCH_COLUMNS: Final = ("search", "search_tokens")
_SEARCH_TYPES: Final = ("tsvector", "INTEGER")


class Rendered:
    """A write as driver text and what makes its parameters of rows."""

    def __init__(
        self,
        text: str,
        columns: Sequence[Column[object]],
        unique: Sequence[int] = (),
        indexed: Sequence[int] = (),
    ) -> None:
        self.text = text.encode()
        self._kinds = [_type(column) for column in columns]
        self._conversions = [_conversion(column) for column in columns]
        self._unique = unique
        self._indexed = indexed

    def parameters(self, rows: Sequence[Row]) -> list[Array]:
        """One a column."""
        if self._unique:
            rows = _last_by_key(rows, self._unique)
        columns = [
            values if convert is None else _converted(values, convert)
            for values, convert in zip(zip(*rows, strict=True), self._conversions, strict=True)
        ]
        found = [array_of(kind, values) for kind, values in zip(self._kinds, columns, strict=True)]
        if self._indexed:
            texts = zip(*(columns[place] for place in self._indexed), strict=True)
            terms = [search_text(*map(str, one)) for one in texts]
            made: tuple[Sequence[object], ...] = (
                [one.packed for one in terms],
                [one.token_count for one in terms],
            )
            found += map(array_of, _SEARCH_TYPES, made)
        return found


@cache
def rendered(statement: Insert | Update | Delete | ChangeEach | Select) -> Rendered:
    """How PostgreSQL runs a statement that is given rows."""
    match statement:
        case Insert():
            return _insert(statement)
        case Update():
            return _update(statement)
        case Delete():
            return _delete(statement)
        case Select():
            return _select(statement)
        case ChangeEach():
            return _change_each(statement)


@cache
def marked(statement: Query | Change) -> bytes:
    """Driver text of a statement that is given plain values."""
    return statement.text.replace("?", "%s").encode()


@cache
def without_lock(statement: Select) -> Select:
    """The same for readers, who change nothing."""
    return replace(statement, for_change=False)


def plain(values: Sequence[SqlValue]) -> list[SqlValue]:
    """Plain values as TEXT can hold them; texts among them are keys, mostly."""
    return [key_text(value) if isinstance(value, str) else value for value in values]


def _insert(statement: Insert) -> Rendered:
    table, columns = statement.table, statement.columns
    indexed = _indexed(table, columns)
    suffix, unique = "", list[int]()
    match statement.conflict:
        case Keep():
            suffix = " ON CONFLICT DO NOTHING"
        case Replace(keys, changed):
            derived = _SEARCH_COLUMNS if set(INDEXED_COLUMNS) & set(changed) and indexed else ()
            changes = ", ".join(f"{one} = excluded.{one}" for one in (*changed, *derived))
            suffix = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"
            unique = [columns.index(one) for one in keys]
    names = (*columns, *(_SEARCH_COLUMNS if indexed else ()))
    text = (
        f"INSERT INTO {table.name} ({', '.join(names)})"  # noqa: S608 - declared names
        f" SELECT * FROM {_given(table, columns, searched=bool(indexed))}{suffix}"
    )
    return Rendered(text, [table.c[one] for one in columns], unique, indexed)


def _update(statement: Update) -> Rendered:
    table, key, columns = statement.table, statement.key, statement.columns
    indexed = _indexed(table, (key, *columns))
    values = {one: _new_value(table.c[one]) for one in columns}
    if indexed:
        values |= {one: f"given.{one}" for one in _SEARCH_COLUMNS}
    changes = ", ".join(f"{one} = {value}" for one, value in values.items())
    given = _given(table, (key, *columns), searched=bool(indexed))
    text = (
        f"UPDATE {table.name} SET {changes} FROM {given}"  # noqa: S608 - declared names
        f" WHERE {table.name}.{key} = given.{key}"
    )
    return Rendered(text, [table.c[one] for one in (key, *columns)], [0], indexed)


def _new_value(column: Column[object]) -> str:
    if not isinstance(column.type, Embedding):
        return f"given.{column.name}"
    # A peer's vector of another length is kept beside, and not shown.
    dim = (
        f"SELECT atttypmod FROM pg_attribute WHERE attrelid = '{column.table.name}'::regclass"  # noqa: S608 - declared names
        f" AND attname = '{column.name}'"
    )
    return f"CASE vector_dims(given.{column.name}) WHEN ({dim}) THEN given.{column.name} END"


def _delete(statement: Delete) -> Rendered:
    table, keys = statement.table, statement.keys
    text = (
        f"DELETE FROM {table.name} USING {_given(table, keys)}"  # noqa: S608 - declared names
        f" WHERE {_same(table, keys)}"
    )
    return Rendered(text, [table.c[one] for one in keys])


def _select(statement: Select) -> Rendered:
    table, keys = statement.table, statement.keys
    columns = ", ".join(f"{table.name}.{one}" for one in statement.columns)
    text = (
        f"SELECT {columns} FROM {table.name} JOIN {_given(table, keys)}"  # noqa: S608 - declared names
        f" ON {_same(table, keys)}"
    )
    if statement.for_change:
        # In the order of the whole key, so that two batches never wait for each other.
        order = ", ".join(f"{table.name}.{one.name}" for one in table.primary_key)
        text += f" ORDER BY {order} FOR UPDATE OF {table.name}"
    unique = range(len(keys))
    return Rendered(text, [table.c[one] for one in keys], list(unique))


def _change_each(statement: ChangeEach) -> Rendered:
    given = (
        f"unnest({', '.join(['%b::text[]'] * len(statement.columns))})"
        f" AS given({', '.join(statement.columns)})"
    )
    text = statement.postgresql.format(given=given)
    keys: list[Column[object]] = [
        Column(one, Text(), primary_key=True) for one in statement.columns
    ]
    return Rendered(text, keys)


def _given(table: Table, columns: Sequence[str], *, searched: bool = False) -> str:
    names = [*columns, *(_SEARCH_COLUMNS if searched else ())]
    types = [_type(table.c[one]) for one in columns] + (list(_SEARCH_TYPES) if searched else [])
    arrays = ", ".join(f"%b::{kind}[]" for kind in types)
    return f"unnest({arrays}) AS given({', '.join(names)})"


def _indexed(table: Table, columns: Sequence[str]) -> list[int]:
    """Where a live memory's indexed text stands among the columns; empty if not all is written.

    A title alone is only ever written to be written again in the same batch.
    """
    if table is not memories or not set(INDEXED_COLUMNS) <= set(columns):
        return []
    return [columns.index(one) for one in INDEXED_COLUMNS]


def _same(table: Table, keys: Sequence[str]) -> str:
    return " AND ".join(f"{table.name}.{one} = given.{one}" for one in keys)


def _type(column: Column[object]) -> str:
    if isinstance(column.type, Embedding):
        return "vector"  # of any dimension: the column checks its own
    kind = column.type.compile(dialect=_DIALECT)
    return {"SERIAL": "INTEGER", "BIGSERIAL": "BIGINT"}.get(kind, kind)


def _conversion(column: Column[object]) -> Conversion:
    if isinstance(column.type, Embedding):
        return _vector
    if isinstance(column.type, LargeBinary):
        return None
    if isinstance(column.type, JsonText):
        return _json
    kind = column.type.compile(dialect=_DIALECT)
    if kind == "BOOLEAN":
        return _flag
    if kind != "TEXT":
        return None
    return key_text if _is_key(column) else _text


def _is_key(column: Column[object]) -> bool:
    table = column.table
    return column.primary_key or any(
        index.unique and column.name in index.columns for index in table.indexes
    )


def _converted(values: Sequence[SqlValue], convert: Conversion) -> list[SqlValue]:
    change = cast("Callable[[SqlValue], SqlValue]", convert)
    return [None if value is None else change(value) for value in values]


def _text(value: str) -> str:
    """TEXT holds no NUL; the state keeps it, and here another character stands for it."""
    return value.replace("\x00", _REPLACEMENT) if "\x00" in value else value


def key_text(value: str) -> str:
    """A text that tells rows apart: different texts stay different."""
    if "\x00" in value or _ESCAPE in value:
        return value.replace(_ESCAPE, f"{_ESCAPE}1").replace("\x00", f"{_ESCAPE}0")
    return value


def with_keys_back(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Rows with every `key_text` as it was."""
    if not any(isinstance(one, str) and _ESCAPE in one for row in rows for one in row):
        return rows
    return [tuple(key_back(one) if isinstance(one, str) else one for one in row) for row in rows]


def key_back(value: str) -> str:
    """The text of which `key_text` made this."""
    return value.replace(f"{_ESCAPE}0", "\x00").replace(f"{_ESCAPE}1", _ESCAPE)


def _json(value: str) -> str:
    """Nor does JSONB."""
    return _NUL_IN_JSON.sub(rf"\1{_REPLACEMENT}", value) if "\\u0000" in value else value


def _flag(value: int) -> bool:
    return bool(value)


def _vector(value: bytes) -> str:
    """The header byte and little-endian floats as pgvector reads them."""
    body = value if len(value) % _FLOAT_BYTES == 0 else value[1:]
    return "[" + ",".join(map(repr, np.frombuffer(body, dtype="<f4").tolist())) + "]"


def _last_by_key(rows: Sequence[Row], keys: Sequence[int]) -> Sequence[Row]:
    """One row a key: a statement may touch a row once only."""
    found = {tuple(row[one] for one in keys): row for row in rows}
    return rows if len(found) == len(rows) else list(found.values())

"""Sequences behind rows that brought their numbers along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql
from sqlalchemy import Integer

from app.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

_NUMBER_ON: Final = sql.SQL(
    "SELECT setval(pg_get_serial_sequence({table_name}, {column_name}), max({column}))"
    " FROM {table} HAVING max({column}) IS NOT NULL"
)


def number_on(connection: psycopg.Connection) -> None:
    """Let every table go on behind its greatest number."""
    for table, column in _numbered():
        statement = _NUMBER_ON.format(
            table_name=sql.Literal(table),
            column_name=sql.Literal(column),
            table=sql.Identifier(table),
            column=sql.Identifier(column),
        )
        connection.execute(statement)


def _numbered() -> Iterator[tuple[str, str]]:
    """Tables whose key the database numbers, and the key's name."""
    for table in metadata.tables.values():
        keys = list(table.primary_key)
        if len(keys) == 1 and isinstance(keys[0].type, Integer) and keys[0].autoincrement:
            yield table.name, keys[0].name

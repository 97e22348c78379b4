"""What a store's schema has, for an operator."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg.rows import scalar_row

from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.errors import explaining

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from app.store.postgres.url import PostgresUrl

_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
_VIEWS: Final = "SELECT viewname FROM pg_views WHERE schemaname = %s ORDER BY 1"
_INDICES: Final = "SELECT indexname FROM pg_indexes WHERE schemaname = %s ORDER BY 1"
# An extension's own functions live in the schema that it was put in, often ours.
_FUNCTIONS: Final = """
    SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = %s AND NOT EXISTS (
        SELECT 1 FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    ) ORDER BY 1
"""
_EXTENSIONS: Final = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
_FLUSHING: Final = "SELECT current_setting('fsync') = 'on', current_setting('synchronous_commit')"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Names, sorted."""

    tables: Sequence[str]
    views: Sequence[str]
    functions: Sequence[str]
    indices: Sequence[str]
    extensions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Flushing:
    """Whether the server flushes at all, and its `synchronous_commit` for our role."""

    is_on: bool
    commit_waits_for: str


def read_catalogue(url: PostgresUrl) -> Catalogue:
    """The names of what the address's schema holds.

    Raises:
        StoreOpenError, StoreUnavailableError: as `connect`.
    """
    options = PostgresOptions(url)
    with (
        closing(connect(options)) as connection,
        explaining(url),
        transaction(connection, Preamble.reading(options)),
    ):
        here = [url.schema]
        return Catalogue(
            tables=_names(connection, _TABLES, here),
            views=_names(connection, _VIEWS, here),
            functions=_names(connection, _FUNCTIONS, here),
            indices=_names(connection, _INDICES, here),
            extensions=_names(connection, _EXTENSIONS, []),
        )


def read_flushing(url: PostgresUrl) -> Flushing:
    """What a commit on this server is worth.

    Raises:
        StoreOpenError, StoreUnavailableError: as `connect`.
    """
    options = PostgresOptions(url)
    with (
        closing(connect(options)) as connection,
        explaining(url),
        transaction(connection, Preamble.reading(options)),
    ):
        row = connection.execute(_FLUSHING).fetchone()
    assert row is not None
    return Flushing(bool(row[0]), str(row[1]))


def _names(connection: psycopg.Connection, query: str, parameters: list[str]) -> list[str]:
    cursor = connection.cursor(row_factory=scalar_row)
    return [str(name) for name in cursor.execute(query.encode(), parameters)]

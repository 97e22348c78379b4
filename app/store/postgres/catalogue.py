"""What a store's schema has, for an operator; and the graph of Apache AGE, where it is there."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.rows import scalar_row

from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.errors import explaining
from app.store.postgres.graph_names import graph_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.postgres.url import PostgresUrl
    from app.store.sql.links import GraphBackend

_LOGGER = logging.getLogger(__name__)

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
_HAS_AGE: Final = "SELECT 1 FROM pg_extension WHERE extname = 'age'"


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


def kg_backend(connection: psycopg.Connection) -> GraphBackend:
    """What walks the graph: Apache AGE where the database has it, else recursive queries."""
    return "age" if connection.execute(_HAS_AGE).fetchone() else "cte"


def create_graph(url: PostgresUrl) -> bool:
    """Make AGE's graph if AGE is there and the graph is not; whether it was made.

    The graph only speeds reading up: where it cannot be made, the answer is no and nothing else
    changes.

    Raises:
        StoreOpenError, StoreUnavailableError: as `connect`.
    """
    options = PostgresOptions(url)
    graph = graph_of(url.schema)
    with closing(connect(options)) as connection, explaining(url):
        try:
            with transaction(connection, Preamble.writing(options)):
                if kg_backend(connection) == "cte" or _has_graph(connection, graph):
                    return False
                # AGE finds its own types by the search path only.
                connection.execute("SET LOCAL search_path = ag_catalog, public")
                connection.execute("SELECT create_graph(%s)", [graph])
                return True
        except (psycopg.ProgrammingError, psycopg.InternalError, psycopg.IntegrityError) as error:
            _LOGGER.warning(
                "the graph %s of Apache AGE cannot be made (%s); links are walked by recursive"
                " queries",
                graph,
                type(error).__name__,
            )
            return False


def _has_graph(connection: psycopg.Connection, graph: str) -> bool:
    asked = "SELECT 1 FROM ag_catalog.ag_graph WHERE name = %s"
    return connection.execute(asked, [graph]).fetchone() is not None


def _names(connection: psycopg.Connection, query: str, parameters: list[str]) -> list[str]:
    cursor = connection.cursor(row_factory=scalar_row)
    return [str(name) for name in cursor.execute(query.encode(), parameters)]

"""Whether the database has Apache AGE and this role may use it; and getting it where it may.

AGE only speeds reading up, so nothing here fails a start: where it cannot be had, queries of the
tables walk the links, and the reason is told.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors as codes

from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.errors import explaining
from app.store.postgres.graph_names import graph_of, make_ready
from app.store.postgres.graph_shape import GraphShape

if TYPE_CHECKING:
    from app.store.postgres.url import PostgresUrl
    from app.store.sql.links import GraphBackend

_LOGGER = logging.getLogger(__name__)

AGE_LOCK: Final = 5_784_391_176_202
"""Key of the advisory lock under which the extension is made."""

_INSTALLED: Final = (
    b"SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'age'),"
    b" coalesce(has_schema_privilege(to_regnamespace('ag_catalog')::oid, 'USAGE'), false)"
)
_AVAILABLE: Final = b"SELECT 1 FROM pg_available_extensions WHERE name = 'age'"
_ROLE: Final = b"SELECT quote_ident(current_user), quote_ident(current_database())"
_REFUSALS: Final = (
    psycopg.ProgrammingError,
    psycopg.InternalError,
    psycopg.IntegrityError,
    psycopg.NotSupportedError,
    codes.UndefinedFile,
)


@dataclass(frozen=True, slots=True)
class AgeState:
    """What walks the graph. `reason` says why the tables do, None where AGE does."""

    backend: GraphBackend
    reason: str | None = None


def look_for_age(connection: psycopg.Connection) -> AgeState:
    """What the database has and the role may use."""
    installed, usable = connection.execute(_INSTALLED).fetchone() or (0, 0)
    if not installed:
        available = connection.execute(_AVAILABLE).fetchone() is not None
        return AgeState(
            "cte",
            "the database lacks the extension Apache AGE, which the server has: a superuser may run"
            " CREATE EXTENSION age"
            if available
            else "the server has no Apache AGE",
        )
    if not usable:
        role, _ = _names(connection)
        reason = f"the role may not use Apache AGE: GRANT USAGE ON SCHEMA ag_catalog TO {role}"
        return AgeState("cte", reason)
    return AgeState("age")


def is_age_there(connection: psycopg.Connection) -> bool:
    """The short form, for whoever asks every second."""
    return all(connection.execute(_INSTALLED).fetchone() or (False,))


def why_no_graph(connection: psycopg.Connection, graph: str, error: Exception) -> str:
    """What an operator can do about a graph that cannot be kept."""
    if not isinstance(error, codes.InsufficientPrivilege):
        return f"the graph {graph} of Apache AGE cannot be kept ({type(error).__name__})"
    role, database = _names(connection)
    return (
        f"the role may not keep the graph {graph}: GRANT CREATE ON DATABASE {database} TO {role};"
        " or let another role run ai-memory schema-init, which makes it, and then"
        f" GRANT USAGE ON SCHEMA {graph} TO {role} and GRANT ALL ON ALL TABLES, and ON ALL"
        f" SEQUENCES, IN SCHEMA {graph} TO {role}"
    )


def ensure_age(url: PostgresUrl) -> None:
    """Create the extension where the server has it, the database lacks it, and the role may.

    Raises:
        StoreOpenError, StoreUnavailableError: as `connect`.
    """
    options = PostgresOptions(url)
    with closing(connect(options)) as connection, explaining(url):
        try:
            with transaction(connection, Preamble.writing(options)):
                if _is_to_be_made(connection):
                    # Two nodes that make it at once would make one of them fail.
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", [AGE_LOCK])
                    connection.execute(b"CREATE EXTENSION IF NOT EXISTS age")
                    _LOGGER.info("created the extension Apache AGE in this database")
        except _REFUSALS as error:
            # What to do about it is said by whoever misses it.
            _LOGGER.debug("Apache AGE cannot be created (%s)", type(error).__name__)


def create_graph(url: PostgresUrl) -> bool:
    """Make AGE's graph, without rows, if AGE is there and the graph is not; whether it was made.

    Raises:
        StoreOpenError, StoreUnavailableError: as `connect`.
    """
    options = PostgresOptions(url)
    graph = graph_of(url.schema)
    shape = GraphShape(graph)
    with closing(connect(options)) as connection, explaining(url):
        try:
            with transaction(connection, Preamble.writing(options)):
                if not is_age_there(connection) or shape.number(connection) is not None:
                    return False
                make_ready(connection)
                shape.create(connection)
                return True
        except _REFUSALS as error:
            with transaction(connection, Preamble.writing(options)):
                reason = why_no_graph(connection, graph, error)
            _LOGGER.warning("%s; until then links are walked by recursive queries", reason)
            return False


def _is_to_be_made(connection: psycopg.Connection) -> bool:
    installed, _ = connection.execute(_INSTALLED).fetchone() or (0, 0)
    return not installed and connection.execute(_AVAILABLE).fetchone() is not None


def _names(connection: psycopg.Connection) -> tuple[str, str]:
    row = connection.execute(_ROLE).fetchone()
    assert row is not None
    return str(row[0]), str(row[1])

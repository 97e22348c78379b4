"""What a PostgreSQL schema holds, and bringing it to the one that this version needs.

All of a migration is one transaction under a lock that ends with it, so that ten nodes may start
at once, also through a pooler. The lock is one for the database, because the extension is.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors as codes
from psycopg import sql
from psycopg.rows import scalar_row

from app.domain.errors import InvalidInputError, StoreOpenError, StoreUnavailableError
from app.store.ladder import HEAD_REVISION, MIGRATIONS, REVISIONS
from app.store.postgres.adoption import fill, set_aside
from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.errors import RETRY_AFTER_SECONDS, explained, explaining, no_pgvector
from app.store.postgres.url import DEFAULT_SCHEMA
from app.store.schema import (
    SCHEMA_VERSION,
    UNFINISHED_MOVE,
    UNFINISHED_MOVE_FOUND,
    SchemaKind,
    SchemaStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from app.store.postgres.adoption import Adoption
    from app.store.postgres.url import PostgresUrl

    Progress = Callable[[str], None]

DIMENSIONS: Final = (384, 768)
MIGRATION_LOCK: Final = 5_784_391_176_201
"""Key of the advisory lock; any constant that no other program of the database takes."""

MIGRATION_LOCK_SECONDS: Final = 120.0
_OLDEST_PGVECTOR: Final = (0, 7)
_EMBEDDED_TABLES: Final = ("memories", "archived_memories")

_OUR_TABLES: Final = frozenset(
    {"memory_links", "archived_memories", "memory_state", "record_state"}
    | {"name_claims", "log_entries", "log_origins", "store_identity"}
)
"""Those without which nothing could be served; not the whole list."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look showed. `dim` is that of the embedding column, None where there is none."""

    status: SchemaStatus
    dim: int | None = None


def inspect(url: PostgresUrl) -> Found:
    """Look at the address's schema without changing it.

    Raises:
        StoreOpenError, StoreUnavailableError: as `connect`; also while a node takes over what
            v0.7.0 made there, for longer than `MIGRATION_LOCK_SECONDS`.
    """
    options = PostgresOptions(url, statement_seconds=0, lock_seconds=MIGRATION_LOCK_SECONDS)
    with (
        closing(connect(options)) as connection,
        explaining(url),
        transaction(connection, Preamble.looking(options)),
        _waiting(url),
    ):
        return _look(connection, url.schema)


def migrate(
    url: PostgresUrl,
    progress: Progress,
    *,
    dim: int | None = None,
    adoption: Adoption | None = None,
) -> Found:
    """Make or bring the schema to the newest, in one transaction; do nothing if it is there.

    Args:
        url: Names the schema by its search_path; it is created if the role may.
        progress: Is told, in a sentence each, what may take long.
        dim: Of the embedding column: of a new one (384 unless given), and needed of an old one.
        adoption: How a schema of v0.7.0 is taken over; without it one is refused.

    Raises:
        StoreOpenError: another version, damaged, no pgvector, no privilege, or another dimension;
            `reason` says which. The schema is unchanged.
        StoreUnavailableError: no server takes writes now, or another node has been migrating for
            longer than `MIGRATION_LOCK_SECONDS`.
    """
    _check_dimension(dim)
    found = inspect(url)
    if not found.status.current:
        _refuse(url, found.status, adoption)
        with _migrating(url) as (connection, climb):
            _make_room(connection, url)
            found = _look(connection, url.schema)  # another node may have been faster
            _refuse(url, found.status, adoption)
            if found.status.kind is SchemaKind.V57_FOREIGN and adoption is not None:
                progress(f"adopting the v0.7.0 database at {url}")
                kept = set_aside(connection, url)
                climb()
                # Its vectors are made anew, so they may be of another model's length.
                _set_dimension(connection, dim or found.dim)
                fill(connection, url, kept, adoption)
                found = _look(connection, url.schema)
            elif not found.status.current:
                progress(f"bringing {url} to schema {HEAD_REVISION}")
                climb()
                if found.dim is None:
                    _set_dimension(connection, dim)
                found = _look(connection, url.schema)
    if dim is not None and found.dim != dim:
        raise _other_dimension(url, found.dim, dim)
    return found


def change_dimension(url: PostgresUrl, dim: int, *, force: bool) -> bool:
    """Give the embedding columns another dimension; whether they had one.

    Vectors of the old dimension go. So with memories in the store it is refused unless forced.

    Raises:
        StoreOpenError: there are memories; `reason` is `embedding_dim`.
    """
    _check_dimension(dim)
    with _migrating(url) as (connection, _):
        found = _look(connection, url.schema)
        if found.dim == dim:
            return False
        if not force and _has_memories(connection):
            raise _other_dimension(url, found.dim, dim)
        _set_dimension(connection, dim)
        return True


@contextmanager
def _migrating(url: PostgresUrl) -> Iterator[tuple[psycopg.Connection, Callable[[], None]]]:
    """A transaction that no other node migrates beside, and what runs the ladder in it."""
    from sqlalchemy import create_engine, event  # noqa: PLC0415  # not for a schema that is current
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    # SQLAlchemy has the connection from its opening on: what it asks of a new one, it rolls back.
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(PostgresOptions(url)),
        poolclass=NullPool,
        use_native_hstore=False,
    )
    preamble = Preamble.migrating(url, lock_seconds=MIGRATION_LOCK_SECONDS)
    event.listen(engine, "begin", lambda begun: _driver(begun).execute(preamble.text))
    with _explaining_steps(url):
        try:
            with engine.begin() as shared:
                connection = _driver(shared)
                _lock(connection, url)
                yield connection, lambda: _run_alembic(shared, url.schema)
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise error.orig from error
            raise


def _driver(connection: Connection) -> psycopg.Connection:
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found


def _lock(connection: psycopg.Connection, url: PostgresUrl) -> None:
    with _waiting(url):
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])


@contextmanager
def _waiting(url: PostgresUrl) -> Iterator[None]:
    try:
        yield
    except codes.LockNotAvailable as error:
        raise StoreUnavailableError(
            f"{url}: another node has been migrating for {MIGRATION_LOCK_SECONDS:g} s; see what"
            " holds it up",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        ) from error


def _look(connection: psycopg.Connection, schema: str) -> Found:
    tables = _names(
        connection,
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p')",
        schema,
    )
    if not {"memories", "schema_version"} & tables:
        if "memory_state" in tables:
            detail = "the table of memories is missing"
            return Found(SchemaStatus(SchemaKind.DAMAGED, detail=detail))
        return Found(SchemaStatus(SchemaKind.EMPTY))
    if not {"memories", "schema_version"} <= tables:
        detail = "of the tables memories and schema_version one is missing"
        return Found(SchemaStatus(SchemaKind.DAMAGED, detail=detail))
    return Found(_status(connection, schema, tables), _dimension(connection, schema))


def _status(connection: psycopg.Connection, schema: str, tables: set[str]) -> SchemaStatus:
    version = _value(connection, schema, "schema_version", "max(version)")
    if not isinstance(version, int):
        return SchemaStatus(SchemaKind.DAMAGED, detail="the schema version is missing")
    if version != SCHEMA_VERSION:
        kind = SchemaKind.NEWER if version > SCHEMA_VERSION else SchemaKind.OLDER
        return SchemaStatus(kind, version)
    if "alembic_version" not in tables and "memory_state" not in tables:
        return SchemaStatus(SchemaKind.V57_FOREIGN, version)
    return _at_our_version(connection, schema, tables)


def _at_our_version(connection: psycopg.Connection, schema: str, tables: set[str]) -> SchemaStatus:
    version = SCHEMA_VERSION
    if "alembic_version" not in tables:
        return SchemaStatus(SchemaKind.DAMAGED, version, detail="the schema revision is missing")
    revision = str(_value(connection, schema, "alembic_version", "max(version_num)"))
    if revision not in REVISIONS:
        return SchemaStatus(SchemaKind.NEWER, version, revision)
    if revision == HEAD_REVISION and (missing := _OUR_TABLES - tables):
        detail = f"missing tables: {', '.join(sorted(missing))}"
        return SchemaStatus(SchemaKind.DAMAGED, version, revision, detail)
    is_whole = UNFINISHED_MOVE not in tables
    kind = SchemaKind.OURS if is_whole else SchemaKind.UNFINISHED
    return SchemaStatus(
        kind, version, revision, "" if is_whole else f"the store {UNFINISHED_MOVE_FOUND}"
    )


def _value(connection: psycopg.Connection, schema: str, table: str, what: str) -> object:
    statement = sql.SQL("SELECT {what} FROM {table}").format(
        what=sql.SQL(what),
        table=sql.Identifier(schema, table),
    )
    row = connection.execute(statement).fetchone()
    return None if row is None else row[0]


def _names(connection: psycopg.Connection, statement: str, schema: str) -> set[str]:
    cursor = connection.cursor(row_factory=scalar_row)
    return {str(name) for name in cursor.execute(statement.encode(), [schema])}


def _dimension(connection: psycopg.Connection, schema: str) -> int | None:
    row = connection.execute(
        "SELECT a.atttypmod FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = 'memories' AND a.attname = 'embedding'",
        [schema],
    ).fetchone()
    return None if row is None else int(row[0])


def _refuse(url: PostgresUrl, status: SchemaStatus, adoption: Adoption | None) -> None:
    """Let pass what can be brought up to date."""
    if status.kind in {SchemaKind.EMPTY, SchemaKind.OURS}:
        return
    if status.kind is SchemaKind.V57_FOREIGN and adoption is not None:
        return
    match status.kind:
        case SchemaKind.OLDER:
            said = (
                f"has schema version {status.version}; version {SCHEMA_VERSION} is needed: open it"
                " once with ai-memory v0.7.0, which upgrades it"
            )
        case SchemaKind.NEWER:
            made_by = status.revision or f"version {status.version}"
            said = f"was written by a newer ai-memory (schema {made_by}); use that one"
        case SchemaKind.V57_FOREIGN:
            said = (
                "was written by ai-memory v0.7.0: open it once with ai-memory serve or"
                " schema-init, which adopts it"
            )
        case SchemaKind.UNFINISHED:
            said = UNFINISHED_MOVE_FOUND
        case _:
            said = f"is damaged: {status.detail}; restore a backup"
    raise StoreOpenError(f"{url} {said}", reason=status.kind.value)


def _make_room(connection: psycopg.Connection, url: PostgresUrl) -> None:
    """The extension and the schema that the tables need."""
    _ensure_pgvector(connection, url)
    if not _names(connection, "SELECT nspname FROM pg_namespace WHERE nspname = %s", url.schema):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(url.schema)))


def _ensure_pgvector(connection: psycopg.Connection, url: PostgresUrl) -> None:
    version = _pgvector_version(connection)
    if version is None:
        try:
            connection.execute(
                sql.SQL("CREATE EXTENSION IF NOT EXISTS vector SCHEMA {}").format(
                    sql.Identifier(DEFAULT_SCHEMA)
                )
            )
        except (codes.FeatureNotSupported, codes.UndefinedFile, codes.InsufficientPrivilege) as e:
            raise no_pgvector(url) from e
        version = _pgvector_version(connection)
    if version is not None and _numbers(version) < _OLDEST_PGVECTOR:
        raise StoreOpenError(
            f"{url}: pgvector {version} is too old, 0.7 is needed: update its package, then run"
            " ALTER EXTENSION vector UPDATE;",
            reason="pgvector_missing",
        )


def _pgvector_version(connection: psycopg.Connection) -> str | None:
    row = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    ).fetchone()
    return None if row is None else str(row[0])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _run_alembic(connection: Connection, schema: str) -> None:
    from alembic import command  # noqa: PLC0415  # it takes a while to load
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["schema"] = schema
    command.upgrade(config, "head")


def _has_memories(connection: psycopg.Connection) -> bool:
    return any(
        connection.execute(
            sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))
        ).fetchone()
        for table in _EMBEDDED_TABLES
    )


def _set_dimension(connection: psycopg.Connection, dim: int | None) -> None:
    """None, or what is no dimension of ours, leaves the columns as they are."""
    if dim not in DIMENSIONS:
        return
    for table in _EMBEDDED_TABLES:
        statement = sql.SQL(
            "ALTER TABLE {table} ALTER COLUMN embedding TYPE vector({dim}) USING NULL,"
            " ALTER COLUMN embedding SET STORAGE PLAIN;"
            " UPDATE {table} SET embedding_dim = NULL WHERE embedding_dim IS NOT NULL"
        ).format(table=sql.Identifier(table), dim=sql.Literal(dim))
        connection.execute(statement)


def _check_dimension(dim: int | None) -> None:
    if dim is not None and dim not in DIMENSIONS:
        raise InvalidInputError(
            f"a PostgreSQL store holds vectors of 384 or 768 dimensions, not of {dim}"
        )


def _other_dimension(url: PostgresUrl, found: int | None, wanted: int) -> StoreOpenError:
    return StoreOpenError(
        f"{url} holds vectors of {found} dimensions, and {wanted} are asked for: choose a model of"
        f" {found}, or give up the vectors there with"
        f" ai-memory schema-init --embedding-dim {wanted} --force-reembed",
        reason="embedding_dim",
    )


@contextmanager
def _explaining_steps(url: PostgresUrl) -> Iterator[None]:
    try:
        yield
    except codes.InsufficientPrivilege as error:
        role = url.user or "the role"
        raise StoreOpenError(
            f"{url}: {role} may not create what the store needs in schema {url.schema}: GRANT"
            f" USAGE, CREATE ON SCHEMA {url.schema} TO it, or where the schema is yet to be made"
            f" GRANT CREATE ON DATABASE {url.database}",
            reason="privilege",
        ) from error
    except (codes.DuplicateTable, codes.DuplicateObject) as error:
        raise StoreOpenError(
            f"{url}: the schema {url.schema} holds another program's objects by our names:"
            " name another one (options=-csearch_path%3DNAME)",
            reason=SchemaKind.NOT_A_DATABASE.value,
        ) from error
    except psycopg.Error as error:
        raise explained(error, url) from error

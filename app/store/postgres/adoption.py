"""Taking over a v0.7.0 schema: its tables go aside as they are, and ours are filled from them.

All of it is in the transaction of the migration. So a node that dies leaves v0.7.0's database as it
was, and one that finishes has v0.7.0's tables in a schema of their own, untouched.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors as codes
from psycopg import sql

from app.domain.errors import StoreOpenError, StoreUnavailableError
from app.store.ladder import V57_REVISION, script
from app.store.postgres.errors import RETRY_AFTER_SECONDS
from app.store.postgres.lexemes import search_text
from app.store.postgres.numbering import number_on
from app.store.postgres.transactions import PostgresChanges
from app.store.tables import memories, metadata, schema_version
from app.store.writing.adoption import adopt
from app.store.writing.port import BatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.store.postgres.url import PostgresUrl

_LOGGER = logging.getLogger(__name__)

KEPT_SUFFIX: Final = "_before_adoption"
_NAME_BYTES_MAX: Final = 63
_DIGEST_CHARACTERS: Final = 12
_PAGE_ROWS: Final = 500
_LOCK_SECONDS: Final = 10
_MADE: Final = re.compile(r"CREATE (?:TABLE|VIEW|FUNCTION) (\w+)")
_KINDS: Final = {"r": "TABLE", "p": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}
# Which model made them, v0.7.0 does not say: they are made anew, as on SQLite.
_LEFT_OUT: Final = frozenset({"embedding", "embedding_dim"})

_RELATIONS: Final = (
    "SELECT c.relname, c.relkind::text FROM pg_class AS c"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm')"
    " ORDER BY 1"
)
_ROUTINES: Final = (
    "SELECT format('%%I(%%s)', p.proname, pg_get_function_identity_arguments(p.oid))"
    " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
    " WHERE n.nspname = %s AND p.proname = ANY (%s) ORDER BY 1"
)
_IS_THERE: Final = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
_HOLDS_SOMETHING: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = %s)"
)
_COLUMNS: Final = (
    "SELECT a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
    " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum"
)
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    " AND application_name NOT LIKE 'ai-memory%%' AND usename = current_user"
)
_COPY: Final = sql.SQL("INSERT INTO {table} ({columns}) SELECT {columns} FROM {kept}")
_PAGE: Final = sql.SQL(
    "SELECT id, title, content, tags::text FROM {kept} WHERE id > %s ORDER BY id LIMIT %s"
)
_COPY_SEARCHED: Final = sql.SQL(
    "INSERT INTO memories ({columns}, search, search_tokens)"
    " SELECT {old_columns}, given.search, given.search_tokens"
    " FROM unnest(%s::text[], %s::tsvector[], %s::integer[]) AS given(id, search, search_tokens)"
    " JOIN {kept} AS old ON old.id = given.id"
)


@dataclass(frozen=True, slots=True)
class Adoption:
    """How a v0.7.0 schema is taken over.

    `report` hears what takes long: what, done, total (0 while unknown). `index_texts` is as in
    `app.store.writing.adoption.adopt`.
    """

    report: Callable[[str, int, int], None]
    index_texts: bool = True


def kept_schema(schema: str) -> str:
    """Where v0.7.0's tables of a schema go."""
    name = schema + KEPT_SUFFIX
    if len(name.encode()) <= _NAME_BYTES_MAX:
        return name
    digest = hashlib.sha256(schema.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return digest + KEPT_SUFFIX


def set_aside(connection: psycopg.Connection, url: PostgresUrl) -> str:
    """Move what v0.7.0 made in the address's schema into one of its own; that one's name.

    Other programs' objects, and those of extensions, stay where they are.

    Raises:
        StoreOpenError: the role may not, or the name is taken; `reason` says which.
        StoreUnavailableError: somebody is using the tables.
    """
    kept = kept_schema(url.schema)
    with _explaining(url, kept):
        relations = connection.execute(_RELATIONS.encode(), [url.schema, _made()]).fetchall()
        _lock(connection, url, [name for name, kind in relations if _KINDS[kind] == "TABLE"])
        _make_schema(connection, url, kept)
        target = sql.Identifier(kept)
        for name, kind in relations:
            statement = sql.SQL("ALTER {kind} {name} SET SCHEMA {target}").format(
                kind=sql.SQL(_KINDS[kind]), name=sql.Identifier(url.schema, name), target=target
            )
            connection.execute(statement)
        for (name,) in connection.execute(_ROUTINES.encode(), [url.schema, _made()]).fetchall():
            statement = sql.SQL("ALTER ROUTINE {schema}.{name} SET SCHEMA {target}").format(
                schema=sql.Identifier(url.schema), name=sql.SQL(name), target=target
            )
            connection.execute(statement)
    return kept


def fill(connection: psycopg.Connection, url: PostgresUrl, kept: str, adoption: Adoption) -> None:
    """Copy the rows that were set aside into our tables, and describe each by a state.

    Raises:
        StoreOpenError: a row does not fit its table; `reason` is `damaged`.
    """
    with _fitting(url):
        for table in metadata.tables.values():
            if table is memories or table is schema_version:
                continue
            columns = _common_columns(connection, url.schema, kept, table.name)
            if columns:
                _copy(connection, kept, table.name, columns)
        _copy_memories(connection, url, kept, adoption)
        number_on(connection)
    try:
        count = adopt(
            PostgresChanges(connection, url),
            lambda done, total: adoption.report("adopting memories", done, total),
            index_texts=adoption.index_texts,
        )
    except BatchError as error:
        raise error.meaning from error
    # Whoever asks next plans by these figures, and the server's own look comes a minute later.
    connection.execute(b"ANALYZE memories, archived_memories, memory_links, memory_state")
    _LOGGER.info(
        "adopted %d memories of a v0.7.0 database; its own tables are kept in schema %s",
        count,
        kept,
    )


@cache
def _made() -> list[str]:
    """What v0.7.0 has in a schema, by the first rung of our ladder, which is the same."""
    return [name for one in script(V57_REVISION, "postgresql") for name in _MADE.findall(one)]


def _lock(connection: psycopg.Connection, url: PostgresUrl, tables: Sequence[str]) -> None:
    """Let nobody read or write them until the adoption is over."""
    names = sql.SQL(", ").join(sql.Identifier(url.schema, name) for name in tables)
    connection.execute(
        sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{_LOCK_SECONDS}s"))
    )
    try:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
    except codes.LockNotAvailable as error:
        raise StoreUnavailableError(
            f"{url}: another program is using the tables of v0.7.0: stop every v0.7.0 process of"
            " this database first",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        ) from error
    others = connection.execute(_OTHERS.encode()).fetchone()
    if others is not None and others[0]:
        _LOGGER.warning(
            "%s: %d other sessions of this role are connected; a v0.7.0 process among them must"
            " be stopped, because it would write past the log",
            url,
            others[0],
        )


def _make_schema(connection: psycopg.Connection, url: PostgresUrl, kept: str) -> None:
    if connection.execute(_IS_THERE.encode(), [kept]).fetchone() is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(kept)))
        return
    found = connection.execute(_HOLDS_SOMETHING.encode(), [kept]).fetchone()
    if found is not None and found[0]:
        raise StoreOpenError(
            f"{url}: the tables of v0.7.0 would be kept in the schema {kept}, which holds other"
            " things already: rename that one",
            reason="kept_schema_taken",
        )


def _common_columns(
    connection: psycopg.Connection, schema: str, kept: str, table: str
) -> list[str]:
    """Those that both have and a statement may write; none if v0.7.0 has no such table."""
    ours, theirs = (
        [str(name) for (name,) in connection.execute(_COLUMNS.encode(), [one, table])]
        for one in (schema, kept)
    )
    return [name for name in ours if name in theirs and name not in _LEFT_OUT]


def _copy(connection: psycopg.Connection, kept: str, table: str, columns: Sequence[str]) -> None:
    # What a new store holds already is v0.7.0's own.
    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    statement = _COPY.format(
        table=sql.Identifier(table),
        columns=_listed(columns),
        kept=sql.Identifier(kept, table),
    )
    connection.execute(statement)


def _copy_memories(
    connection: psycopg.Connection, url: PostgresUrl, kept: str, adoption: Adoption
) -> None:
    """The terms of their texts are worked out here: the column is ours."""
    source = sql.Identifier(kept, memories.name)
    counted = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(source)).fetchone()
    total = 0 if counted is None else int(counted[0])
    columns = _common_columns(connection, url.schema, kept, memories.name)
    copy = _COPY_SEARCHED.format(
        columns=_listed(columns),
        old_columns=sql.SQL(", ").join(sql.Identifier("old", one) for one in columns),
        kept=source,
    )
    page_of = _PAGE.format(kept=source)
    after, done = "", 0
    while page := connection.execute(page_of, [after, _PAGE_ROWS]).fetchall():
        ids = [one for one, *_ in page]
        terms = [search_text(title, content, tags) for _, title, content, tags in page]
        connection.execute(
            copy, [ids, [one.literal for one in terms], [one.token_count for one in terms]]
        )
        after, done = ids[-1], done + len(page)
        adoption.report("copying memories", done, total)


def _listed(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


@contextmanager
def _explaining(url: PostgresUrl, kept: str) -> Iterator[None]:
    try:
        yield
    except codes.InsufficientPrivilege as error:
        role = url.user or "the role"
        raise StoreOpenError(
            f"{url}: to keep the tables of v0.7.0 aside {role} must own them, and may need the"
            f" schema for it: GRANT CREATE ON DATABASE {url.database} TO it, or CREATE SCHEMA"
            f" {kept} AUTHORIZATION it",
            reason="privilege",
        ) from error


@contextmanager
def _fitting(url: PostgresUrl) -> Iterator[None]:
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        said = error.diag
        names = (said.table_name, said.column_name, said.constraint_name)
        where = ", ".join(name for name in names if name) or type(error).__name__
        raise StoreOpenError(
            f"{url}: a row of v0.7.0 does not fit this version ({where}); nothing was changed:"
            " correct it in v0.7.0",
            reason="damaged",
        ) from error

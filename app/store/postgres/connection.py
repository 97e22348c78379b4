"""How a connection is opened, and how each of its transactions begins.

Nothing is set for a session: behind a pooler in transaction mode the next transaction may run in
another one. Each transaction states its schema and its limits in the message that begins it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from app.store.postgres.errors import explained
from app.store.postgres.url import DEFAULT_SCHEMA
from app.store.postgres.values import register_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.store.postgres.url import PostgresUrl

CONNECT_SECONDS: Final = 10
# A server whose machine is gone says nothing: its silence ends a connection after half a minute.
_SILENCE_ARGUMENTS: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_NO_LIMIT: Final = 0
_rollbacks = count()


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """Where the store is and how it is reached. Times in seconds; 0 turns a timeout off.

    `most` bounds all connections of a node, the writer's included; `least` are kept open.
    `pooled` is for a PgBouncer in transaction mode: then nothing is prepared on the server.
    `read_only` takes standbys, too.
    """

    url: PostgresUrl
    most: int = 16
    least: int = 2
    acquire_seconds: float = 30.0
    statement_seconds: float = 30.0
    lock_seconds: float = 5.0
    pooled: bool = False
    read_only: bool = False

    @property
    def statement_timeout_ms(self) -> int:
        return self.url.timeouts_ms.get("statement_timeout", round(self.statement_seconds * 1000))

    @property
    def lock_timeout_ms(self) -> int:
        return self.url.timeouts_ms.get("lock_timeout", round(self.lock_seconds * 1000))

    def connection_arguments(self) -> dict[str, object]:
        """Keyword arguments for psycopg to connect with."""
        arguments: dict[str, object] = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "ai-memory",
            # A standby among the hosts is passed over; alone, it is an error that says so.
            "target_session_attrs": "any" if self.read_only else "read-write",
            **_SILENCE_ARGUMENTS,
            **self.url.parameters,
            "client_encoding": "UTF8",  # of every text, also where it is packed by us
            "autocommit": True,  # the preamble below begins transactions
        }
        if self.pooled:
            arguments["prepare_threshold"] = None
        return arguments


@dataclass(frozen=True, slots=True)
class Preamble:
    """The message that begins a transaction, one round trip for all of it."""

    text: bytes

    def begin(self, connection: psycopg.Connection) -> None:
        """Send it."""
        connection.execute(self.text, prepare=False)

    @classmethod
    def reading(cls, options: PostgresOptions) -> Preamble:
        """Read only, and one snapshot for every statement of the transaction."""
        return cls.of(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            options.url,
            options.statement_timeout_ms,
            options.lock_timeout_ms,
        )

    @classmethod
    def looking(cls, options: PostgresOptions) -> Preamble:
        """Read only; each statement sees what another node's migration left that it waited for."""
        return cls.of(
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY",
            options.url,
            options.statement_timeout_ms,
            options.lock_timeout_ms,
        )

    @classmethod
    def writing(cls, options: PostgresOptions) -> Preamble:
        """A batch of the writer: it sees what others committed between its statements."""
        return cls.of(
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            options.url,
            options.statement_timeout_ms,
            options.lock_timeout_ms,
        )

    @classmethod
    def migrating(cls, url: PostgresUrl, *, lock_seconds: float) -> Preamble:
        """Statements may take long; waiting for another node that migrates may not for ever."""
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
        return cls.of(begin, url, _NO_LIMIT, round(lock_seconds * 1000))

    @classmethod
    def of(cls, begin: str, url: PostgresUrl, statement_ms: int, lock_ms: int) -> Preamble:
        # The type of pgvector is found where the extension is: in `public`, unless told otherwise.
        path = [*url.search_path, *({DEFAULT_SCHEMA} - set(url.search_path))]
        text = sql.SQL(
            "{begin}; SET LOCAL search_path = {path}; SET LOCAL statement_timeout = {statement};"
            " SET LOCAL lock_timeout = {lock}; SET LOCAL TimeZone = 'UTC'; SET LOCAL jit = off"
        ).format(
            begin=sql.SQL(begin),  # one of the constants above
            path=sql.SQL(", ").join(map(sql.Identifier, path)),
            statement=sql.Literal(statement_ms),
            lock=sql.Literal(lock_ms),
        )
        return cls(text.as_bytes(None))


@contextmanager
def transaction(connection: psycopg.Connection, preamble: Preamble) -> Iterator[None]:
    """Commit when the block ends, roll back when it raises; the driver's errors pass as they are.

    The commit is one round trip, the beginning another.
    """
    try:
        preamble.begin(connection)
        yield
    except BaseException:
        roll_back(connection)
        raise
    connection.execute(b"COMMIT", prepare=False)


def connect(options: PostgresOptions) -> psycopg.Connection:
    """One connection of the caller's own, such as the writer's; for one thread at a time.

    Raises:
        StoreOpenError: it will not work until something is changed: password, certificate, role,
            database; `reason` in the details says which.
        StoreUnavailableError: no server can be reached now, or none takes writes.
    """
    try:
        connection = psycopg.connect(**options.connection_arguments())  # type: ignore[arg-type]  # libpq's own names
    except psycopg.Error as error:
        raise explained(error, options.url) from error
    register_values(connection)
    return connection


def roll_back(connection: psycopg.Connection) -> None:
    """End a transaction that failed."""
    if connection.closed:
        return
    try:
        # The driver forgets at a ROLLBACK what it took to be prepared, which a failed pipeline may
        # not have reached the server with; but only at one whose text it has not met yet.
        connection.execute(f"ROLLBACK /* {next(_rollbacks)} */".encode(), prepare=False)
    except psycopg.Error:
        connection.close()  # the server rolls back what it no longer has a client for

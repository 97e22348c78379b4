"""Readers: a pool of connections, used by as many threads off the event loop.

A thread waits in libpq where an asynchronous connection would wait in the loop, so that reads cost
the loop nothing but their hand-over, and the same reading code serves both stores.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar, cast

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from typing_extensions import override

from app.domain.errors import AiMemoryError, StoreClosedError, StoreUnavailableError
from app.store.postgres.connection import Preamble, connect, transaction
from app.store.postgres.errors import RETRY_AFTER_SECONDS, explained
from app.store.postgres.values import register_values
from app.store.sql.compiled import CompiledStatements
from app.store.sql.known import KnownSelects, asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Select

    from app.store.postgres.connection import PostgresOptions
    from app.store.sql.filters import MemoryFilter
    from app.store.sql.known import Known
    from app.store.sql.selects import Record, SqlValue

T = TypeVar("T")
_DIALECT: Final = psycopg_dialect.dialect(paramstyle="format")  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
_WRITER: Final = 1
_LOOK_SECONDS: Final = 0.5
_LOOK_AGAIN_SECONDS: Final = 0.02
"""The same while the server is known to be away: many ask, and each is soon told."""
_RECONNECT_SECONDS: Final = 1.0
"""How long the pool tries by itself to replace a lost connection; it would wait longer after each
failure. Then it is whoever asks for a connection that makes it try again."""


class Readers:
    """Runs functions of a connection off the event loop (or in place, when `inline`).

    A function runs in a transaction of its own: read only, one snapshot, limits set.
    """

    def __init__(
        self, options: PostgresOptions, *, inline: bool = False, must_answer: bool = True
    ) -> None:
        """Open the pool. Unless it `must_answer`, the server may come later.

        Raises:
            StoreOpenError, StoreUnavailableError: as `connect`.
        """
        if must_answer:
            connect(options).close()  # says what is wrong; the pool would only wait
        self._options = options
        self.preamble = Preamble.reading(options)
        threads = max(1, options.most - _WRITER)
        self._connections = _Connections(options, threads)
        self._threads = (
            None if inline else ThreadPoolExecutor(threads, thread_name_prefix="store-reader")
        )
        self.compiled = CompiledStatements(_DIALECT)
        self._known = KnownSelects(_DIALECT)
        self._closed = False

    async def run(
        self, function: Callable[[psycopg.Connection], T], begin: Preamble | None = None
    ) -> T:
        """`function` of a reader's connection; `begin` in place of the usual preamble.

        Raises:
            StoreUnavailableError: the server failed or cannot be reached, every connection is
                busy for too long, or the store is closed.
        """
        if self._closed:
            raise StoreClosedError("the store is closed", retry_after_seconds=1)
        if self._threads is None:
            return self._call(function, begin)
        given = self._threads.submit(self._call, function, begin)
        patience = _Patience(given)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._options.acquire_seconds, patience.end)
        try:
            return await asyncio.wrap_future(given)
        except asyncio.CancelledError:
            if patience.ended:
                raise self._exhausted() from None
            raise
        finally:
            timer.cancel()

    def run_here(self, function: Callable[[psycopg.Connection], T]) -> T:
        """The same in this thread, for background threads."""
        return self._call(function, None)

    async def select(self, statement: Select[*tuple[object, ...]]) -> Sequence[Record]:
        """The rows of a select, column name → value."""
        return await self.run(lambda connection: self.fetch(connection, statement))

    def fetch(
        self, connection: psycopg.Connection, statement: Select[*tuple[object, ...]]
    ) -> Sequence[Record]:
        """The rows of a select on this connection."""
        text, parameters = self.compiled.text(statement)
        cursor = connection.execute(text.encode(), parameters)
        names = tuple(cast("str", column.name) for column in statement.selected_columns)
        return [dict(zip(names, row, strict=True)) for row in cursor]

    async def ask(
        self, known: Known, chosen: MemoryFilter, values: Mapping[str, SqlValue]
    ) -> Sequence[Record]:
        """The rows of a known select, column name → value."""
        prepared = self._known.prepared(known, chosen)
        parameters = prepared.parameters(asked(chosen, values))
        text = prepared.text.encode()
        rows = await self.run(lambda connection: connection.execute(text, parameters).fetchall())
        return [dict(zip(prepared.columns, row, strict=True)) for row in rows]

    @property
    def open_connections(self) -> int:
        """How many the pool holds now."""
        return self._connections.count

    def close(self) -> None:
        """Wait for running reads and close every connection."""
        self._closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        self._connections.close()

    def _call(self, function: Callable[[psycopg.Connection], T], begin: Preamble | None) -> T:
        preamble = begin or self.preamble
        try:
            return self._once(function, preamble)
        except psycopg.OperationalError as error:
            if not _is_lost(error):
                raise explained(error, self._options.url) from error
        except psycopg.Error as error:
            raise explained(error, self._options.url) from error
        # The server dropped its connections, such as at a restart; reading again is harmless.
        self._connections.drop_lost()
        try:
            return self._once(function, preamble)
        except psycopg.Error as error:
            raise explained(error, self._options.url) from error

    def _once(self, function: Callable[[psycopg.Connection], T], preamble: Preamble) -> T:
        with (
            self._connections.one(self._options.acquire_seconds) as connection,
            transaction(connection, preamble),
        ):
            return function(connection)

    def _exhausted(self) -> StoreUnavailableError:
        return exhausted(self._options)


def exhausted(options: PostgresOptions) -> StoreUnavailableError:
    """Nobody gave a connection back in time."""
    return StoreUnavailableError(
        f"{options.url}: all {options.most} connections were busy for"
        f" {options.acquire_seconds:g} s (postgres_acquire_timeout_secs)",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


class _Patience:
    """Takes back what no thread has begun."""

    def __init__(self, given: Future[T]) -> None:
        self._given = given
        self.ended = False

    def end(self) -> None:
        self.ended = self._given.cancel()


class _Connections:
    """The library's pool; a server that is gone is an error at once, not after a wait."""

    def __init__(self, options: PostgresOptions, most: int) -> None:
        self._options = options
        self._outage = _Outage(options)
        self._pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
            connection_class=_watched(self._outage),
            kwargs=options.connection_arguments(),
            configure=register_values,
            min_size=min(max(options.least - _WRITER, 1), most),
            max_size=most,
            timeout=options.acquire_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            name="ai-memory",
            open=True,
        )

    @property
    def count(self) -> int:
        return int(self._pool.get_stats().get("pool_size", 0))

    @contextmanager
    def one(self, seconds: float) -> Iterator[psycopg.Connection]:
        connection = self._take(seconds)
        try:
            yield connection
            self._outage.end()  # whoever waits, waits for a connection that is busy
        finally:
            self._pool.putconn(connection)

    def _take(self, seconds: float) -> psycopg.Connection:
        left = seconds
        while True:
            look = _LOOK_SECONDS if self._outage.error is None else _LOOK_AGAIN_SECONDS
            wait = min(look, left)
            try:
                return self._pool.getconn(timeout=wait)
            except PoolClosed as error:
                raise StoreClosedError("the store is closed", retry_after_seconds=1) from error
            except PoolTimeout as error:
                left -= wait
                found = self._outage.error
                if found is not None:
                    raise found from error
                if left <= 0:
                    raise exhausted(self._options) from error

    def drop_lost(self) -> None:
        """Replace idle connections that do not answer."""
        self._pool.check()

    def close(self) -> None:
        self._pool.close()


class _Outage:
    """Why the last attempt to connect failed, until one succeeds."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._error: psycopg.Error | None = None

    @property
    def error(self) -> AiMemoryError | None:
        with self._lock:
            found = self._error
        if found is None:
            return None
        meant = explained(found, self._options.url)
        if isinstance(meant, StoreUnavailableError):
            return meant
        # The store was open: whoever asks now can only come back later.
        return StoreUnavailableError(meant.message, retry_after_seconds=RETRY_AFTER_SECONDS)

    def end(self) -> None:
        """The server answers."""
        with self._lock:
            self._error = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            with self._lock:
                self._error = error
            raise
        self.end()


def _watched(outage: _Outage) -> type[psycopg.Connection]:
    """Connections whose connecting is watched."""

    class Watched(psycopg.Connection):
        @classmethod
        @override
        def connect(cls, *arguments: object, **named: object) -> Watched:
            with outage.watching():
                return super().connect(*arguments, **named)  # type: ignore[arg-type]  # as they are

    return Watched


def _is_lost(error: psycopg.OperationalError) -> bool:
    """Whether the connection broke under the statement, rather than the statement failing."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))

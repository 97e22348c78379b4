"""Readers: a few threads, each with its own connection; WAL gives each a committed snapshot."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar, cast

from sqlalchemy.dialects import sqlite as sqlite_dialect

from app.domain.errors import StoreClosedError
from app.store.sql.compiled import CompiledStatements
from app.store.sql.known import KnownSelects, asked
from app.store.sqlite.connection import READERS, FileOptions, open_reader
from app.store.sqlite.errors import translating

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import apsw
    from sqlalchemy import Select

    from app.store.sql.filters import MemoryFilter
    from app.store.sql.known import Known
    from app.store.sql.selects import Record, SqlValue

T = TypeVar("T")
_DIALECT: Final = sqlite_dialect.dialect(paramstyle="qmark")


class Readers:
    """Runs functions of a connection off the event loop (or in place, when `inline`)."""

    def __init__(
        self,
        options: FileOptions,
        *,
        inline: bool,
        threads: int = READERS,
        makes_views: bool = False,
    ) -> None:
        self._makes_views = makes_views
        self._options = options
        self._local = threading.local()
        self._opened: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._pool = (
            None if inline else ThreadPoolExecutor(threads, thread_name_prefix="store-reader")
        )
        self.compiled = CompiledStatements(_DIALECT)
        self._known = KnownSelects(_DIALECT)
        self._closed = False

    async def run(self, function: Callable[[apsw.Connection], T]) -> T:
        """`function` of a reader's connection.

        Raises:
            StoreUnavailableError: the driver failed, or the store is closed.
        """
        if self._closed:
            raise StoreClosedError("the store is closed", retry_after_seconds=1)
        if self._pool is None:
            return self._call(function)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, function)

    def run_here(self, function: Callable[[apsw.Connection], T]) -> T:
        """`function` of this thread's own connection, for background threads."""
        return self._call(function)

    async def select(self, statement: Select[*tuple[object, ...]]) -> Sequence[Record]:
        """The rows of a select, column name → value."""
        return await self.run(lambda connection: self.fetch(connection, statement))

    def fetch(
        self, connection: apsw.Connection, statement: Select[*tuple[object, ...]]
    ) -> Sequence[Record]:
        """The rows of a select on this connection."""
        text, parameters = self.compiled.text(statement)
        cursor = connection.execute(text, parameters)
        names = tuple(cast("str", column.name) for column in statement.selected_columns)
        return [dict(zip(names, row, strict=True)) for row in cursor]

    async def ask(
        self, known: Known, chosen: MemoryFilter, values: Mapping[str, SqlValue]
    ) -> Sequence[Record]:
        """The rows of a known select, column name → value."""
        prepared = self._known.prepared(known, chosen)
        parameters = prepared.parameters(asked(chosen, values))
        rows = await self.run(
            lambda connection: connection.execute(prepared.text, parameters).fetchall()
        )
        return [dict(zip(prepared.columns, row, strict=True)) for row in rows]

    def _call(self, function: Callable[[apsw.Connection], T]) -> T:
        with translating():
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = open_reader(self._options, makes_views=self._makes_views)
                self._local.connection = connection
                with self._lock:
                    self._opened.append(connection)
            return function(connection)

    def close(self) -> None:
        """Wait for running reads and close every connection."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()

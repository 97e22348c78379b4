"""Moving a PostgreSQL schema's store: what `app.store.moving` needs of it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from app.domain.errors import StoreOpenError
from app.store.ladder import HEAD_REVISION
from app.store.moving.port import Seen
from app.store.postgres import digests, schema
from app.store.postgres.connection import Preamble, connect, transaction
from app.store.postgres.errors import explaining
from app.store.postgres.identity import server_of
from app.store.postgres.numbering import number_on
from app.store.postgres.transactions import (
    PostgresChanges,
    PostgresReader,
    batch_errors,
    pipelined,
)
from app.store.schema import SchemaKind
from app.store.tables import memories
from app.store.writing.statements import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import psycopg

    from app.store.postgres.connection import PostgresOptions
    from app.store.postgres.url import PostgresUrl
    from app.store.writing.chain import Chain
    from app.store.writing.port import Transaction

_NO_VECTOR_INDEX: Final = Change("DROP INDEX IF EXISTS memories_embedding_hnsw")
_VECTOR_INDEX: Final = str(
    CreateIndex(
        next(one for one in memories.indexes if one.name == "memories_embedding_hnsw"),
        if_not_exists=True,
    ).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
)
_WRITERS: Final = b"SELECT node_id FROM node_leases WHERE leased_until > now() ORDER BY node_id"


def require(url: PostgresUrl) -> None:
    """Let pass an address that holds a whole store on this version's schema.

    Raises:
        StoreOpenError: it is none; `reason` says why.
        StoreUnavailableError: no server answers.
    """
    status = schema.inspect(url).status
    if status.current:
        return
    if status.kind is SchemaKind.OURS:
        raise StoreOpenError(
            f"{url} is not on this version's schema yet: run ai-memory schema-init on it",
            reason="older",
        )
    if status.kind is SchemaKind.EMPTY:
        raise StoreOpenError(f"{url} holds no store", reason="missing")
    detail = status.detail or f"its schema is {status.kind.value}"
    raise StoreOpenError(f"{url} cannot be moved: {detail}", reason=status.kind.value)


@contextmanager
def seen(options: PostgresOptions, *, idle: bool = True) -> Iterator[Seen]:
    """A snapshot of the schema, until the block ends.

    Args:
        options: Where it is.
        idle: Refuse it while a node holds an origin in it.

    Raises:
        StoreOpenError: a node writes to it (`reason` = `owned`), or it cannot be read.
        StoreUnavailableError: no server answers, or not any more.
    """
    url = options.url
    reading = Preamble.reading(_patient(options))
    with (
        explaining(url),
        closing(connect(options)) as connection,
        transaction(connection, reading),
    ):
        connection.execute(b"SET LOCAL idle_in_transaction_session_timeout = 0")
        if idle:
            _refuse_writers(connection, url)
        yield Seen(PostgresReader(connection), digests.read(connection))


def place_of(options: PostgresOptions) -> str:
    """The server, the database and the schema, the same however the address is written."""
    with closing(connect(options)) as connection, explaining(options.url):
        row = connection.execute(b"SELECT current_database()").fetchone()
        assert row is not None
        return f"{server_of(connection)} {row[0]} {options.url.schema}"


class PostgresTarget:
    """See `port.Target`."""

    def __init__(
        self, connection: psycopg.Connection, options: PostgresOptions, *, is_unfinished: bool
    ) -> None:
        self._connection = connection
        self._options = options
        durable = b"; SET LOCAL synchronous_commit = on"
        self._preamble = Preamble.writing(_patient(options)).text + durable
        self.is_unfinished = is_unfinished

    @contextmanager
    def begin(self) -> Iterator[MovingTransaction]:
        with batch_errors(self._options.url):
            self._connection.execute(self._preamble, prepare=False)
            with pipelined(self._connection):
                yield MovingTransaction(self._connection, self._options.url)

    def seen(self) -> AbstractContextManager[Seen]:
        return seen(self._options)

    def clear_way(self, transaction: Transaction) -> None:
        """The index of vectors: ten times dearer by row than at once."""
        transaction.write(_NO_VECTOR_INDEX, [()])

    def settle(self) -> None:
        """Index the vectors, number on after the rows that brought numbers, fold the digests."""
        with explaining(self._options.url), transaction(self._connection, Preamble(self._preamble)):
            self._connection.execute(_VECTOR_INDEX.encode())
            number_on(self._connection)
            while self._connection.execute(b"SELECT 1 FROM digest_deltas LIMIT 1").fetchone():
                digests.fold(self._connection)


class MovingTransaction(PostgresChanges):
    """See `port.Transaction`."""

    def resume(self, known: Chain) -> Chain:
        """Nobody else writes to an unfinished store."""
        return known


@contextmanager
def filling(
    options: PostgresOptions, dim: int | None, progress: Callable[[str], None]
) -> Iterator[PostgresTarget]:
    """The schema as a target; made if there is none, for vectors of `dim` dimensions.

    Raises:
        InvalidInputError: there is no such dimension.
        StoreOpenError: as `schema.migrate`, also for one of another dimension; `reason` is
            `unfinished` for a move that another version began.
        StoreUnavailableError: no server takes writes now.
    """
    url = options.url
    status = schema.inspect(url).status
    is_unfinished = status.kind is SchemaKind.UNFINISHED
    if not is_unfinished:
        schema.migrate(url, progress, dim=dim)
    elif status.revision != HEAD_REVISION:
        raise StoreOpenError(
            f"{url}: another version of ai-memory began this move; drop the schema and start again",
            reason=status.kind.value,
        )
    with closing(connect(options)) as connection:
        yield PostgresTarget(connection, options, is_unfinished=is_unfinished)


def _patient(options: PostgresOptions) -> PostgresOptions:
    """A page may take longer than any request of a node."""
    timeouts = {**options.url.timeouts_ms, "statement_timeout": 0}
    return replace(options, url=replace(options.url, timeouts_ms=timeouts))


def _refuse_writers(connection: psycopg.Connection, url: PostgresUrl) -> None:
    found = [str(node) for (node,) in connection.execute(_WRITERS)]
    if found:
        raise StoreOpenError(
            f"{url} is in use by node {', '.join(found)}: stop it first; one that crashed lets go"
            " after 30 seconds",
            reason="owned",
        )

"""The engine's transactions on PostgreSQL: one connection, which comes back by itself.

Other nodes may write to the same schema. So a batch locks the rows that it decides on, in the order
of their keys, and proves that its origin is still its own; what it adds to the digests is kept as a
delta, since a common row would be locked through everybody's commits.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

import psycopg
from psycopg import errors as codes
from typing_extensions import override

from app.domain.errors import (
    AiMemoryError,
    OutcomeUnknownError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from app.log.epochs import EpochReason
from app.store.postgres import digests
from app.store.postgres.connection import Preamble, connect, roll_back, transaction
from app.store.postgres.errors import RETRY_AFTER_SECONDS, explained, explaining
from app.store.postgres.identity import (
    LEASE_SECONDS,
    SERVER_SEPARATOR,
    TIMELINE,
    Former,
    keep,
    release,
    server_of,
    take_identity,
)
from app.store.postgres.statements import marked, plain, rendered, with_keys_back, without_lock
from app.store.writing.chain import Chain, Head
from app.store.writing.port import BatchError, BrokenConstraintError, RaceError
from app.store.writing.statements import Change, Insert, Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.domain.sources import Clock, Randomness
    from app.log.epochs import Identity
    from app.store.postgres.connection import PostgresOptions
    from app.store.postgres.identity import NodeFile
    from app.store.postgres.url import PostgresUrl
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Row
    from app.store.writing.statements import Read, Select, Write

_LOGGER = logging.getLogger(__name__)
REST_SECONDS: Final = LEASE_SECONDS / 3

# Everything that a batch decides on is locked by now, so the greatest clock covers its stamps.
_RESUME: Final = (
    b"SELECT o.origin_no, o.origin, o.head_seq, o.head_hash, o.head_hlc,"
    b" (SELECT max(head_hlc) FROM log_origins),"
    b" split_part(n.server, '" + SERVER_SEPARATOR.encode() + b"', 2) = (" + TIMELINE + b")::text"
    b" FROM node_leases AS n JOIN log_origins AS o ON o.origin = %s"
    b" WHERE n.node_id = %s AND n.boot_token = %s FOR UPDATE OF n, o"
)
_PART_ROWS: Final = 16

# A batch finds its rows by their keys. Its statements are planned once, while a new store's tables
# are small and reading all of one seems cheapest, as it is not when they have grown.
_BY_KEYS: Final = (
    b"; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off"
    b"; SET LOCAL enable_mergejoin = off"
)
_RACES: Final = (codes.SerializationFailure, codes.DeadlockDetected, codes.UniqueViolation)
_BROKEN: Final = (psycopg.IntegrityError, psycopg.DataError, codes.ProgramLimitExceeded)

# Where in the server a commit waits; unlike the notice's text it is never translated.
_STANDBY_WAIT: Final = "SyncRepWaitForLSN"
_CONNECTION_LOST: Final = "the connection was lost while the write was committed"
_STANDBY_NOT_AWAITED: Final = (
    "the write is committed, and the wait for a synchronous standby to have it was cancelled"
)


class UncertainCommitError(psycopg.Error):
    """A COMMIT was sent, and it cannot be told what became of it. `cause` says why, for people."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@contextmanager
def batch_errors(url: PostgresUrl) -> Iterator[None]:
    """Raise what a driver's error means to the batch. The transaction is lost in any case."""
    try:
        yield
    except UncertainCommitError as error:
        raise BatchError(_uncertain(url, error.cause)) from error
    except _RACES as error:
        raise RaceError(_meaning(error, url)) from error
    except _BROKEN as error:
        raise BrokenConstraintError(_meaning(error, url)) from error
    except psycopg.Error as error:
        raise BatchError(_meaning(error, url)) from error
    except StoreOpenError as error:
        raise _unavailable(error.message) from error


def _meaning(error: psycopg.Error, url: PostgresUrl) -> AiMemoryError:
    meant = explained(error, url)
    # The store was open: whoever asks now can only come back later.
    lasting = not isinstance(meant, StoreUnavailableError)
    return _unavailable(meant.message) if lasting else meant


def _uncertain(url: PostgresUrl, cause: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"{url}: {cause}, so whether the write stays is not known: look, or send it again"
        " (a store with on_conflict=merge, which keeps one row)",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _unavailable(message: str) -> StoreUnavailableError:
    return StoreUnavailableError(message, retry_after_seconds=RETRY_AFTER_SECONDS)


class PostgresReader:
    """Runs the engine's reads; see `port.Reader`. Locks nothing."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def read(self, statement: Read, parameters: Sequence[SqlValue] | Sequence[Row]) -> list[Row]:
        if isinstance(statement, Query):
            values = plain(cast("Sequence[SqlValue]", parameters))
            found = self._connection.execute(marked(statement), values).fetchall()
        elif parameters:
            one = rendered(self._as_read(statement))
            keys = one.parameters(cast("Sequence[Row]", parameters))
            found = self._connection.execute(one.text, keys).fetchall()
        else:
            return []
        return cast("list[Row]", with_keys_back(found))

    def _as_read(self, statement: Select) -> Select:
        return without_lock(statement)


class PostgresChanges(PostgresReader):
    """See `port.Changes`."""

    is_shared: Final = True

    def __init__(self, connection: psycopg.Connection, url: PostgresUrl) -> None:
        super().__init__(connection)
        self._url = url

    @override
    def read(self, statement: Read, parameters: Sequence[SqlValue] | Sequence[Row]) -> list[Row]:
        with batch_errors(self._url):
            return super().read(statement, parameters)

    @override
    def _as_read(self, statement: Select) -> Select:
        return statement

    def write(self, statement: Write, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with batch_errors(self._url):
            if isinstance(statement, Change):
                for row in rows:
                    self._connection.execute(marked(statement), plain(row))
            else:
                one = rendered(statement)
                for some in _parts(statement, rows):
                    self._connection.execute(one.text, one.parameters(some))

    def add_to_digests(self, deltas: Mapping[int, bytes]) -> None:
        if deltas:
            digests.add(self._connection, deltas)

    def note_rewritten(self, ids: Sequence[str]) -> None:
        """Nothing here follows single rows: the server keeps its text index itself."""


def _parts(statement: Write, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows whose text is worked out here go in parts: the server is at one while the next is made.

    All others go together.
    """
    is_worked_out = isinstance(statement, Insert) and statement.feeds_text_index
    size = _PART_ROWS if is_worked_out else len(rows)
    return (rows[start : start + size] for start in range(0, len(rows), size))


class PostgresTransaction(PostgresChanges):
    """See `port.Transaction`."""

    def __init__(
        self, connection: psycopg.Connection, url: PostgresUrl, identity: Identity
    ) -> None:
        super().__init__(connection, url)
        self._identity = identity
        self.known_seq = 0
        """How long the own log was at least, before this transaction."""

    def resume(self, known: Chain) -> Chain:
        """The end of the own log, locked.

        Raises:
            LeaseLostError: another node holds the origin.
            ServerChangedError: another server answers than the one that the origin was leased on.
            StepBackError: the log is shorter than what was committed.
        """
        mine = self._identity
        row = self._connection.execute(
            _RESUME, (mine.origin, mine.node_id, mine.new_boot_token)
        ).fetchone()
        if row is None:
            raise LeaseLostError
        no, origin, seq, digest, hlc, last, is_same = cast(
            "tuple[int, str, int, bytes, int, int, bool]", row
        )
        if not is_same:
            raise ServerChangedError
        if origin == known.own.origin and seq < known.own.seq:
            raise StepBackError
        self.known_seq = seq
        # It is further than what is known when a commit's answer was lost.
        return Chain(Head(no, origin, seq, digest, hlc), max(last, known.last_hlc))


@contextmanager
def pipelined(connection: psycopg.Connection) -> Iterator[None]:
    """The rest of a transaction that was begun; committed when the block ends.

    Statements travel without waiting for one another; reads wait for their rows.

    Raises:
        UncertainCommitError: whether it was committed is not known.
    """
    committing = False
    try:
        with connection.pipeline():
            yield
            committing = True
            commit = connection.execute(b"COMMIT", prepare=False)
    except BaseException as error:
        roll_back(connection)
        # A connection that still works has rolled back what did not commit.
        if committing and connection.closed and isinstance(error, psycopg.Error):
            raise UncertainCommitError(_CONNECTION_LOST) from error
        raise
    if commit.statusmessage != "COMMIT":
        # What the server answers to a COMMIT after an error that nobody saw.
        raise psycopg.InternalError("the transaction was rolled back")


class LeaseLostError(Exception):
    """Another node took this one's origin."""


class ServerChangedError(Exception):
    """Behind the same connection is another server, or another timeline of it."""


class StepBackError(Exception):
    """The server has lost entries that it had acknowledged."""


class PostgresTransactions:
    """The writing connection; see `port.Transactions`.

    An acknowledged write is on the server's disk, whatever the role's or server's default is.
    """

    rest_seconds: float | None = REST_SECONDS

    def __init__(
        self,
        options: PostgresOptions,
        clock: Clock,
        randomness: Randomness,
        *,
        node_file: NodeFile | None,
        forced: EpochReason | None = None,
        forces_flush: bool = True,
    ) -> None:
        """Connect and take an identity. `forces_flush` is as in `WriteOptions`.

        Raises:
            StoreOpenError, StoreUnavailableError: as `connect`.
        """
        self._options = options
        self._url = options.url
        self._clock = clock
        self._randomness = randomness
        self._node_file = node_file
        self._forces_flush = forces_flush
        self._known_seq = 0
        self._server = ""
        self._is_unreplicated = False
        self._connection = self._connect()
        try:
            with explaining(self._url):
                self._preamble = self._durable_preamble()
                self.identity = self._take_identity(None, forced)
        except BaseException:
            self._connection.close()
            raise
        self._kept = clock.monotonic()

    @contextmanager
    def begin(self) -> Iterator[PostgresTransaction]:
        """One transaction, durable when the block has ended."""
        try:
            with batch_errors(self._url), self._transaction() as connection:
                batch = PostgresTransaction(connection, self._url, self.identity)
                yield batch
        except LeaseLostError as error:
            self._start_again(None)
            raise RaceError(_unavailable("another node took this node's origin")) from error
        except ServerChangedError as error:
            self._start_again(None)
            raise RaceError(_unavailable("another server answers")) from error
        except StepBackError as error:
            self._start_again(EpochReason.STORE_BEHIND)
            raise RaceError(_unavailable("the server lost entries")) from error
        except BatchError as error:
            if isinstance(error.meaning, StoreReadOnlyError):
                # The server does not take writes any more; connecting finds one that does.
                self._connection.close()
            raise
        self._known_seq = batch.known_seq
        if self._clock.monotonic() - self._kept >= REST_SECONDS:
            # The batch stands, and the next one tells.
            with suppress(AiMemoryError, BatchError, OSError):
                self.rest()

    def renew(self, reason: EpochReason, used: Mapping[str, int]) -> Head:
        """Write under a new epoch from now on, above those of `used`.

        Raises:
            BatchError, AiMemoryError: nothing has changed.
        """
        with batch_errors(self._url):
            if self._connection.closed:
                self._reconnect()
            self.identity = self._take_identity(
                Former(self.identity, self._known_seq), reason, used
            )
        # Where its log ends, each batch sees for itself.
        return Head(0, self.identity.origin)

    def rest(self) -> None:
        """Keep the lease, see that the server is the same, and fold the digests."""
        self._kept = self._clock.monotonic()
        with batch_errors(self._url):
            with self._transaction() as connection:
                keep(connection, self.identity)
            # Each batch compares the timeline; this costs more and changes less.
            if server_of(self._connection) != self._server:
                self._start_again(None)
            with self._transaction() as connection:
                digests.fold(connection)

    def close(self) -> None:
        """Give the lease back and disconnect."""
        if not self._connection.closed:
            # A server that is gone sees the lease end by itself.
            with suppress(psycopg.Error, AiMemoryError), self._transaction() as connection:
                release(connection, self.identity)
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        connection = self._opened()
        self._is_unreplicated = False
        with pipelined(connection):
            yield connection
        if self._is_unreplicated:
            raise UncertainCommitError(_STANDBY_NOT_AWAITED)

    def _opened(self) -> psycopg.Connection:
        """The connection, in a new transaction. One that was lost while idle is replaced."""
        if not self._connection.closed:
            try:
                self._connection.execute(self._preamble, prepare=False)
            except psycopg.OperationalError:
                if not self._connection.closed:
                    raise
            else:
                return self._connection
        self._reconnect()
        self._connection.execute(self._preamble, prepare=False)
        return self._connection

    def _connect(self) -> psycopg.Connection:
        connection = connect(self._options)
        connection.add_notice_handler(self._note)
        return connection

    def _note(self, notice: psycopg.errors.Diagnostic) -> None:
        """A commit whose wait for a standby was cancelled is answered like any other."""
        if notice.source_function == _STANDBY_WAIT:
            self._is_unreplicated = True

    def _reconnect(self) -> None:
        self._connection = self._connect()
        try:
            self._preamble = self._durable_preamble()
            self.identity = self._take_identity(Former(self.identity, self._known_seq), None)
        except BaseException:
            self._connection.close()
            raise
        _LOGGER.info("connected again, writing as %s", self.identity.origin)

    def _durable_preamble(self) -> bytes:
        """How a batch begins: its commit waits for the disk.

        For which standbys it waits as well is the operator's choice. It is named even so, because
        a default may become `off` while the connection stands.
        """
        row = self._connection.execute(b"SHOW synchronous_commit").fetchone()
        assert row is not None
        chosen = "on" if row[0] == "off" and self._forces_flush else row[0]
        setting = f"; SET LOCAL synchronous_commit = {chosen}"
        return Preamble.writing(self._options).text + setting.encode() + _BY_KEYS

    def _take_identity(
        self,
        former: Former | None,
        forced: EpochReason | None,
        used: Mapping[str, int] | None = None,
    ) -> Identity:
        self._server = server_of(self._connection)
        identity = take_identity(
            self._connection,
            lambda: transaction(self._connection, Preamble(self._preamble)),
            self._randomness,
            server=self._server,
            node_file=self._node_file,
            former=former,
            forced=forced,
            used=used,
        )
        if identity.is_new_epoch:
            self._known_seq = 0
        return identity

    def _start_again(self, forced: EpochReason | None) -> None:
        """Write as another origin from now on."""
        before = self.identity
        with batch_errors(self._url):
            self.identity = self._take_identity(Former(before, self._known_seq), forced)
        _LOGGER.error("%s is not ours any more: writing as %s", before.origin, self.identity.origin)

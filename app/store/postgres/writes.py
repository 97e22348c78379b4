"""The writing half of the store on PostgreSQL, and the reads of the log."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from typing_extensions import override

from app.log.cursor import VectorClock
from app.log.digest import BUCKETS, EMPTY
from app.log.entry import Entry, open_entry
from app.log.projection import Snapshot, snapshot
from app.log.state import EntityKey
from app.store.postgres import digests
from app.store.postgres.pool import Readers
from app.store.postgres.replicas import Position, RoutedReaders
from app.store.postgres.transactions import PostgresReader, PostgresTransactions
from app.store.writing.chain import Chain, Head
from app.store.writing.scrub import ScrubReport, scrub
from app.store.writing.stored import StoredStates
from app.store.writing.submissions import Submissions, SubmittingStore
from app.store.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg
    from sqlalchemy import Select

    from app.domain.sources import Clock, Randomness
    from app.log.epochs import EpochReason, Identity
    from app.store.postgres.connection import PostgresOptions
    from app.store.postgres.identity import NodeFile
    from app.store.protocol import ReplicaReads
    from app.store.sql.selects import Record
    from app.store.writing.flush import FlushReport

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a node writes, and where it reads.

    `replicas` are asked for what may lag; the `connection` is the primary's.
    `model` names the embedding model whose vectors are kept. `node_file` says where the node keeps
    who it is. `forces_flush`: a commit waits for the server's disk also where the role's or
    server's default is not to; only the test that proves it says otherwise.
    """

    connection: PostgresOptions
    replicas: PostgresOptions | None = None
    model: str | None = None
    index_texts: bool = True
    inline: bool = False
    node_file: NodeFile | None = None
    new_epoch: EpochReason | None = None
    forces_flush: bool = True


class PostgresWrites(SubmittingStore):
    """See `Store`. Whoever finishes it adds the searches; the schema must be current."""

    def __init__(self, options: WriteOptions, clock: Clock, randomness: Randomness) -> None:
        """Connect, lease an origin, and start the writer.

        Raises:
            StoreOpenError, StoreUnavailableError: as `connect`.
        """
        self._write_options = options
        self._readers = self._open_readers(options, clock)
        self._last: tuple[str, tuple[str, int]] | None = None
        try:
            self._transactions = PostgresTransactions(
                options.connection,
                clock,
                randomness,
                node_file=options.node_file,
                forced=options.new_epoch,
                forces_flush=options.forces_flush,
            )
        except BaseException:
            self._readers.close()
            raise
        self._writer = Writer(
            self._transactions,
            # Where its log ends, each batch sees for itself.
            Chain(Head(0, self._transactions.identity.origin), 0),
            clock,
            index_texts=options.index_texts,
            model=options.model,
            after_commit=self._after_commit,
        )
        self._submissions = Submissions(self._writer, inline=options.inline)
        if not options.inline:
            self._writer.start()

    @property
    def identity(self) -> Identity:
        """Who this node writes as now; another after the server lost what it had."""
        return self._transactions.identity

    @property
    def replica_reads(self) -> ReplicaReads | None:
        """What became of reads that might have gone to replicas; None without any."""
        readers = self._readers
        return readers.told() if isinstance(readers, RoutedReaders) else None

    @property
    def position(self) -> Position:
        """How far this node's writes have come, as far as they are answered."""
        identity, last = self.identity, self._last
        token = identity.new_boot_token
        # What was committed under a former lease is there, or lost, where the present one is.
        is_current = last is not None and last[0] == token
        return Position(identity.node_id, token, last[1] if last and is_current else None)

    def _open_readers(self, options: WriteOptions, clock: Clock) -> Readers:
        if options.replicas is None:
            return Readers(options.connection, inline=options.inline)
        return RoutedReaders(
            options.connection,
            options.replicas,
            lambda: self.position,
            clock,
            inline=options.inline,
        )

    def _after_commit(self, report: FlushReport) -> None:
        if report.last is not None:
            self._last = self.identity.new_boot_token, report.last
        self._committed(report)

    def _committed(self, report: FlushReport) -> None:
        """In the writer's thread, after each batch: for caches beside the store."""

    # -- reading the log -------------------------------------------------------------------

    @override
    async def log_after(self, origin: str, seq: int, limit: int) -> Sequence[Entry]:
        """Entries of one origin, in order."""
        return await self._readers.run(lambda connection: _log(connection, origin, seq, limit))

    @override
    async def applied_after(self, apply_no: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """Entries in local order, as far as this node alone writes.

        Another node's batch may add one below a number that was seen: follow origins instead.
        """
        return await self._readers.run(lambda connection: _applied(connection, apply_no, limit))

    @override
    async def clock(self) -> VectorClock:
        """What is applied here."""
        return await self._readers.run(_clock)

    @override
    async def digests(self) -> Sequence[bytes]:
        """One digest a bucket."""
        found = await self._readers.run(digests.read)
        return [found.get(bucket, EMPTY) for bucket in range(BUCKETS)]

    @override
    async def snapshot(self, memory_id: str) -> Snapshot | None:
        """The merged state of one memory."""
        return await self._readers.run(lambda connection: _snapshot(connection, memory_id))

    @override
    async def select(self, statement: Select[*tuple[object, ...]]) -> Sequence[Record]:
        """The rows of a select."""
        return await self._readers.select(statement)

    async def scrub(self, progress: Callable[[int, int], None]) -> ScrubReport:
        """Re-hash every stored row."""
        return await self._readers.run(
            lambda connection: scrub(PostgresReader(connection), digests.read(connection), progress)
        )

    @override
    async def close(self) -> None:
        """Drain, let go."""
        if self._write_options.inline:
            self._close()
            return
        await asyncio.get_running_loop().run_in_executor(None, self._close)
        self._submissions.deliver()

    def _close(self) -> None:
        self._writer.close()
        self._transactions.close()
        self._readers.close()


def _log(connection: psycopg.Connection, origin: str, seq: int, limit: int) -> list[Entry]:
    rows = connection.execute(
        b"SELECT header, payload, payload_hash, hash FROM log_entries"
        b" WHERE origin_no = (SELECT origin_no FROM log_origins WHERE origin = %s)"
        b" AND seq > %s ORDER BY seq LIMIT %s",
        (origin, seq, limit),
    )
    return [_entry(row) for row in rows]


def _applied(connection: psycopg.Connection, apply_no: int, limit: int) -> list[tuple[int, Entry]]:
    rows = connection.execute(
        b"SELECT apply_no, header, payload, payload_hash, hash FROM log_entries"
        b" WHERE apply_no > %s ORDER BY apply_no LIMIT %s",
        (apply_no, limit),
    )
    return [(cast("int", row[0]), _entry(row[1:])) for row in rows]


def _entry(row: Sequence[object]) -> Entry:
    header, payload, payload_hash, digest = cast("tuple[bytes, bytes | None, bytes, bytes]", row)
    return open_entry(header, payload, payload_hash, digest)


def _clock(connection: psycopg.Connection) -> VectorClock:
    rows = connection.execute(b"SELECT origin, head_seq FROM log_origins").fetchall()
    return VectorClock(dict(cast("list[tuple[str, int]]", rows)))


def _snapshot(connection: psycopg.Connection, memory_id: str) -> Snapshot | None:
    key = EntityKey("memory", memory_id)
    cells = StoredStates(PostgresReader(connection)).load_states([key]).get(key)
    return snapshot(memory_id, cells) if cells is not None else None

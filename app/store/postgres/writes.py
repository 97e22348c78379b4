"""The writing half of the store on PostgreSQL, and the reads of the log."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from typing_extensions import override

from app.log.digest import BUCKETS, EMPTY
from app.log.hlc import MAX_OFFSET_MS
from app.store.postgres import digests
from app.store.postgres.pool import Readers
from app.store.postgres.replicas import Position, RoutedReaders
from app.store.postgres.transactions import PostgresReader, PostgresTransactions
from app.store.writing import log_reads
from app.store.writing.chain import Chain, Head
from app.store.writing.replicating import ReplicatingStore
from app.store.writing.scrub import ScrubReport, scrub
from app.store.writing.submissions import Submissions
from app.store.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Select

    from app.domain.sources import Clock, Randomness
    from app.log.cursor import VectorClock
    from app.log.epochs import EpochReason, Identity
    from app.store.postgres.connection import PostgresOptions
    from app.store.postgres.identity import NodeFile
    from app.store.protocol import ReplicaReads
    from app.store.sql.selects import Record
    from app.store.writing.flush import FlushReport
    from app.store.writing.port import Reader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a node writes, and where it reads.

    `replicas` are asked for what may lag; the `connection` is the primary's.
    `model` names the embedding model whose vectors are kept. `node_file` says where the node keeps
    who it is. `forces_flush`: a commit waits for the server's disk also where the role's or
    server's default is not to; only the test that proves it says otherwise.
    `max_offset_ms`: how far ahead of this node's clock a foreign stamp may lie.
    """

    connection: PostgresOptions
    replicas: PostgresOptions | None = None
    model: str | None = None
    index_texts: bool = True
    inline: bool = False
    node_file: NodeFile | None = None
    new_epoch: EpochReason | None = None
    forces_flush: bool = True
    max_offset_ms: int = MAX_OFFSET_MS


class PostgresWrites(ReplicatingStore):
    """See `Store`. Whoever finishes it adds the searches; the schema must be current."""

    def __init__(self, options: WriteOptions, clock: Clock, randomness: Randomness) -> None:
        """Connect, lease an origin, and start the writer.

        Raises:
            StoreOpenError, StoreUnavailableError: as `connect`.
        """
        super().__init__()
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
            self._store_id = self._readers.run_here(
                lambda connection: log_reads.store_id(PostgresReader(connection))
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
            max_offset_ms=options.max_offset_ms,
            renew=self._transactions.renew,
            after_commit=self._after_commit,
        )
        self._submissions = Submissions(self._writer, inline=options.inline)
        if not options.inline:
            self._writer.start()

    @property
    @override
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

    @override
    def _after_commit(self, report: FlushReport) -> None:
        if report.entries:
            last = report.entries[-1]
            self._last = self.identity.new_boot_token, (last.origin, last.seq)
        super()._after_commit(report)

    @override
    def _committed(self, report: FlushReport) -> None:
        """In the writer's thread, after each batch: for caches beside the store."""

    # -- reading the log -------------------------------------------------------------------

    @override
    async def _read(self, work: Callable[[Reader], T]) -> T:
        """In one snapshot, on a reader's connection."""
        return await self._readers.run(lambda connection: work(PostgresReader(connection)))

    @override
    async def digests(self) -> Sequence[bytes]:
        """One digest a bucket."""
        return _in_order(await self._readers.run(digests.read))

    @override
    async def clocked_digests(self) -> tuple[VectorClock, Sequence[bytes]]:
        """The digests and their clock."""
        clock, found = await self._readers.run(
            lambda connection: (
                log_reads.clock(PostgresReader(connection)),
                digests.read(connection),
            )
        )
        return clock, _in_order(found)

    @override
    async def select(self, statement: Select[*tuple[object, ...]]) -> Sequence[Record]:
        """The rows of a select."""
        return await self._readers.select(statement)

    @override
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


def _in_order(found: Mapping[int, bytes]) -> list[bytes]:
    return [found.get(bucket, EMPTY) for bucket in range(BUCKETS)]

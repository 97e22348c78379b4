"""The store on one SQLite file."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

import numpy as np
from typing_extensions import override

from app.domain.errors import StoreUnavailableError
from app.log.digest import BUCKETS, EMPTY
from app.log.hlc import MAX_OFFSET_MS
from app.store.protocol import (
    ScoredId,
    StoreStatus,
    TitledId,
)
from app.store.sql.conditions import KnownConditions
from app.store.sql.memories import candidate_of, candidates_select
from app.store.sqlite.backlog import Backlog
from app.store.sqlite.backup import copy_database
from app.store.sqlite.common_words import CommonWords
from app.store.sqlite.connection import FileOptions, open_writer
from app.store.sqlite.coverage import coverages
from app.store.sqlite.errors import RETRY_AFTER_SECONDS, translating
from app.store.sqlite.fulltext import search_all, search_any
from app.store.sqlite.identity import take_identity
from app.store.sqlite.readers import Readers
from app.store.sqlite.recall_reads import NearAsked, RecallReads
from app.store.sqlite.scrub import ScrubReport, scrub
from app.store.sqlite.titles import titled_like
from app.store.sqlite.transaction import SqliteReader, SqliteTransactions
from app.store.sqlite.vector_search import VectorSearch
from app.store.tables import CURRENT_SCHEMA_VERSION
from app.store.writing import log_reads
from app.store.writing.chain import Chain
from app.store.writing.replicating import ReplicatingStore
from app.store.writing.statements import Query
from app.store.writing.submissions import Submissions
from app.store.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import apsw
    from sqlalchemy import Select

    from app.domain.ranking import Candidate
    from app.domain.recalled import Choose, Chosen, WordHits
    from app.domain.sources import Clock, DiskSync, Randomness
    from app.log.cursor import VectorClock
    from app.log.epochs import EpochReason, Identity
    from app.store.protocol import Accepts, Unembedded
    from app.store.sql.conditions import Condition
    from app.store.sql.filters import MemoryFilter, Viewer
    from app.store.sql.known import Known
    from app.store.sql.selects import Record, SqlValue
    from app.store.writing.chain import Head
    from app.store.writing.flush import FlushReport
    from app.store.writing.port import Reader

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)
_VECTORS_SUFFIX: Final = ".vectors"
_DIGESTS: Final = Query("SELECT bucket, digest FROM digest_buckets")


@dataclass(frozen=True, slots=True)
class Sources:
    """What is passed in: time, chance, disk."""

    clock: Clock
    randomness: Randomness
    disk_sync: DiskSync


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """How the store is opened.

    `inline` runs everything in the caller's thread: for simulation. `model` and
    `dim` name the embedding model whose vectors are indexed; None for none.
    `max_offset_ms`: how far ahead of this node's clock a foreign stamp may lie.
    """

    file: FileOptions
    model: str | None = None
    dim: int = 0
    index_texts: bool = True
    inline: bool = False
    new_epoch: EpochReason | None = None
    max_offset_ms: int = MAX_OFFSET_MS


class SqliteStore(ReplicatingStore):
    """See `Store`. Build with `open`, on a file whose schema is current."""

    def __init__(self, options: SqliteOptions, sources: Sources, writer: apsw.Connection) -> None:
        super().__init__()
        self._options = options
        self._sources = sources
        self._connection = writer
        identity, head = take_identity(
            writer,
            options.file.path,
            sources.randomness,
            sources.disk_sync,
            options.new_epoch,
        )
        self._identity = identity
        self._store_id = log_reads.store_id(SqliteReader(writer))
        self._readers = Readers(options.file, inline=options.inline)
        # Long reads have a thread of their own, so that no request waits behind one.
        self._background = Readers(options.file, inline=options.inline, threads=1, makes_views=True)
        self._closing = False
        self._warmed = False
        self._common_words = CommonWords()
        self._backlog = Backlog()
        self._on_backlog: Callable[[], None] | None = None
        self._conditions = KnownConditions(self._readers.compiled)
        self._vectors = (
            VectorSearch(
                self._readers,
                options.file.path.with_name(options.file.path.name + _VECTORS_SUFFIX),
                model=options.model,
                dim=options.dim,
                disk_sync=sources.disk_sync,
                threaded=not options.inline,
            )
            if options.model is not None
            else None
        )
        self._transactions = SqliteTransactions(writer, _digests(writer))
        self._recalls = RecallReads(self._common_words, self._vectors)
        self._writer = Writer(
            self._transactions,
            Chain(head, _last_hlc(writer)),
            sources.clock,
            index_texts=options.index_texts,
            model=options.model,
            max_offset_ms=options.max_offset_ms,
            renew=self._renew,
            after_commit=self._after_commit,
        )
        self._submissions = Submissions(self._writer, inline=options.inline)

    @classmethod
    def open(
        cls,
        options: SqliteOptions,
        sources: Sources,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> SqliteStore:
        """Open a file; blocks while the vector index catches up.

        Args:
            options: where and how.
            sources: time, chance, disk.
            progress: told (done, total) while vectors are read.

        Raises:
            StoreOpenError: damaged.
            StoreUnavailableError: locked, read-only, full.
        """
        with translating():
            writer = open_writer(options.file)
            try:
                store = cls(options, sources, writer)
                store._start(progress)
            except BaseException:
                writer.close()
                raise
        return store

    def _start(self, progress: Callable[[int, int], None]) -> None:
        if self._vectors is not None:
            self._vectors.open(self._connection, progress)
            self._backlog.start(
                cast("str", row[0])
                for row in self._connection.execute(
                    "SELECT id FROM memories WHERE id NOT IN"
                    " (SELECT memory_id FROM memory_vectors WHERE model = ? AND dim = ?)"
                    " ORDER BY rowid",
                    (self._options.model, self._options.dim),
                )
            )
        if not self._options.inline:
            self._writer.start()

    @property
    @override
    def identity(self) -> Identity:
        """Who this node writes as."""
        return self._identity

    def _renew(self, reason: EpochReason, used: Mapping[str, int]) -> Head:
        with translating():
            self._identity, head = take_identity(
                self._connection,
                self._options.file.path,
                self._sources.randomness,
                self._sources.disk_sync,
                reason,
                used,
            )
        return head

    @override
    def _committed(self, report: FlushReport) -> None:
        if self._transactions.rewritten_rows:
            self._common_words.note_changed(self._transactions.rewritten_rows)
        if self._vectors is None:
            return
        self._backlog.add(report.unembedded)
        self._backlog.discard(report.embedded)
        self._backlog.discard(report.gone)
        inline = self._connection if self._options.inline else None
        self._vectors.note(inline, report.namespaces, self._transactions.rewritten_rows)
        if report.unembedded and self._on_backlog is not None:
            self._submissions.call_soon(self._on_backlog)

    @override
    def watch_backlog(self, notify: Callable[[], None]) -> None:
        """Call `notify` on the event loop when texts wait for a vector."""
        self._on_backlog = notify

    # -- reading the log -------------------------------------------------------------------

    @override
    async def _read(self, work: Callable[[Reader], T]) -> T:
        """In one snapshot, on a reader's connection."""
        return await self._readers.run(lambda connection: _in_snapshot(connection, work))

    @override
    async def _read_long(self, work: Callable[[Reader], T]) -> T:
        """In the background, so that no request waits behind it."""
        return await self._background.run(lambda connection: _in_snapshot(connection, work))

    @override
    async def digests(self) -> Sequence[bytes]:
        """One digest a bucket."""
        return _in_order(await self._readers.run(_digests))

    @override
    async def clocked_digests(self) -> tuple[VectorClock, Sequence[bytes]]:
        """The digests and their clock."""
        clock, rows = await self._read(
            lambda reader: (log_reads.clock(reader), reader.read(_DIGESTS, ()))
        )
        return clock, _in_order(dict(cast("list[tuple[int, bytes]]", rows)))

    # -- reading ---------------------------------------------------------------------------

    def _condition(self, chosen: MemoryFilter) -> Condition:
        """A filter as driver text."""
        return self._conditions.of(chosen)

    @override
    async def select(self, statement: Select[*tuple[object, ...]]) -> Sequence[Record]:
        """The rows of a select."""
        return await self._readers.select(statement)

    @override
    async def ask(self, known: Known, chosen: MemoryFilter, **values: SqlValue) -> Sequence[Record]:
        """The rows of a known select."""
        return await self._readers.ask(known, chosen, values)

    @override
    async def search_text(
        self, query: str, chosen: MemoryFilter, limit: int, *, every_term: bool
    ) -> Sequence[ScoredId]:
        """Keyword hits."""
        where, parameters = self._condition(chosen)
        where = where.replace("memories.", "m.")  # the text leg's alias; values are bound

        def search(connection: apsw.Connection) -> list[ScoredId]:
            if every_term:
                hits = search_all(connection, query, where, parameters, limit)
            else:
                hits = search_any(connection, query, where, parameters, limit, self._common_words)
            return [ScoredId(hit.id, hit.score) for hit in hits]

        return await self._readers.run(search)

    @override
    async def weighed(
        self, ids: Sequence[str], vector: Sequence[float] | None, query: str | None
    ) -> Sequence[Candidate]:
        """What ranking needs of given rows, in one read."""
        if not ids:
            return ()
        vectors = self._vectors
        array = None if vector is None else np.asarray(vector, dtype=np.float32)

        def weigh(connection: apsw.Connection) -> list[Candidate]:
            rows = self._readers.fetch(connection, candidates_select(ids))
            near: Mapping[str, float] = {}
            if array is not None and vectors is not None:
                near = vectors.cosines(connection, array, ids)
            held: Mapping[str, float] = {}
            if query is not None:
                held = coverages(connection, query, ids, self._common_words)
            return [
                replace(one, cosine=near.get(one.id), coverage=held.get(one.id))
                for one in map(candidate_of, rows)
            ]

        return await self._readers.run(weigh)

    @override
    async def recall_words(
        self, query: str, chosen: MemoryFilter, limit: int, *, covers: bool
    ) -> WordHits:
        """The text leg of a recall, with what ranking will need of its hits."""
        condition = self._condition(chosen)
        return await self._readers.run(
            lambda connection: self._recalls.words(
                connection, query, condition, limit, covers=covers
            )
        )

    @override
    async def recall_best(
        self,
        words: WordHits,
        vector: Sequence[float] | None,
        chosen: MemoryFilter,
        limit: int,
        choose: Choose,
    ) -> Chosen:
        """Vector search, weighing, choosing and reading the chosen, in one read."""
        near = None
        if vector is not None and self._vectors is not None:
            array = np.asarray(vector, dtype=np.float32)
            near = NearAsked(array, self._condition(chosen), chosen.namespaces, limit)
        return await self._readers.run(
            lambda connection: self._recalls.best(connection, words, near, chosen.now, choose)
        )

    @override
    async def titled_like(
        self, words: Sequence[str], viewer: Viewer, namespace: str, now: str
    ) -> Sequence[TitledId]:
        """Some newest rows whose title holds one of the words."""
        return await self._readers.run(
            lambda connection: titled_like(connection, words, viewer, namespace, now)
        )

    @override
    async def search_vector(
        self, vector: Sequence[float], chosen: MemoryFilter, limit: int
    ) -> Sequence[ScoredId]:
        """Nearest rows."""
        vectors = self._vectors
        if vectors is None:
            return ()
        condition = self._condition(chosen)
        query = np.asarray(vector, dtype=np.float32)
        return await self._readers.run(
            lambda connection: vectors.search(
                connection, query, condition, chosen.namespaces, limit
            )
        )

    @override
    async def unembedded(
        self, model: str, limit: int, accepts: Accepts | None = None
    ) -> Sequence[Unembedded]:
        """Live memories without a current vector."""
        if model != self._options.model or not self._backlog:
            return ()
        return await self._readers.run(
            lambda connection: self._backlog.read(connection, limit, accepts)
        )

    @override
    async def unembedded_count(self, model: str, now: str) -> int:
        """How many memories wait for a vector; no query, so it may be asked often."""
        del now  # expired rows leave the backlog when they are fetched
        return len(self._backlog) if model == self._options.model else 0

    @override
    async def status(self) -> StoreStatus:
        """Facts for health, capabilities and doctor."""
        clock = await self.clock()
        vectors = self._vectors
        return StoreStatus(
            backend="sqlite",
            location=str(self._options.file.path),
            origin=self.identity.origin,
            clock=clock,
            schema_version=CURRENT_SCHEMA_VERSION,
            vectors=len(vectors.index) if vectors is not None else 0,
            vectors_outside_index=vectors.index.outside_graph if vectors is not None else 0,
            details={"embedding_backlog": len(self._backlog), "epoch": self.identity.reason.value},
        )

    @override
    async def refresh(self) -> None:
        """Common words' arrays and the vector snapshot; the first call also warms them up."""
        await self._background.run(self._refresh)

    def _refresh(self, connection: apsw.Connection) -> None:
        self._common_words.refresh(connection)
        if not self._warmed:
            self._common_words.warm(connection, lambda: self._closing)
            if self._vectors is not None:
                self._vectors.warm(connection)
            self._warmed = True
        if self._vectors is not None and self._vectors.is_worth_saving:
            self._vectors.save(_clock(connection))

    async def backup(self, target: Path, progress: Callable[[int, int], None]) -> None:
        """A consistent copy into a new file, while writers go on."""
        await self._background.run(lambda connection: copy_database(connection, target, progress))

    @override
    async def scrub(self, progress: Callable[[int, int], None]) -> ScrubReport:
        """Re-hash every stored row."""
        return await self._background.run(lambda connection: scrub(connection, progress))

    @override
    async def check(self) -> None:
        """Prove that the store answers."""
        sound = await self._readers.run(_check)
        if not sound:
            raise StoreUnavailableError(
                "the text index is damaged; run `ai-memory doctor`",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    @override
    async def close(self) -> None:
        """Drain, save, let go."""
        if self._options.inline:
            self._close()
            return
        await asyncio.get_running_loop().run_in_executor(None, self._close)
        self._submissions.deliver()

    def _close(self) -> None:
        self._closing = True
        self._writer.close()
        self._background.close()
        if self._vectors is not None:
            with translating():
                self._vectors.close(_clock(self._connection))
        self._readers.close()
        with translating():
            self._connection.pragma("wal_checkpoint(TRUNCATE)")
            self._connection.close()


def _in_snapshot(connection: apsw.Connection, work: Callable[[Reader], T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(SqliteReader(connection))
    finally:
        connection.execute("ROLLBACK")


def _clock(connection: apsw.Connection) -> Mapping[str, int]:
    return log_reads.clock(SqliteReader(connection)).as_dict()


def _in_order(digests: Mapping[int, bytes]) -> list[bytes]:
    return [digests.get(bucket, EMPTY) for bucket in range(BUCKETS)]


def _digests(connection: apsw.Connection) -> dict[int, bytes]:
    rows = connection.execute(_DIGESTS.text)
    return {cast("int", bucket): cast("bytes", digest) for bucket, digest in rows}


def _last_hlc(connection: apsw.Connection) -> int:
    row = connection.execute("SELECT max(head_hlc) FROM log_origins").fetchone()
    return cast("int", row[0]) if row and row[0] is not None else 0


def _check(connection: apsw.Connection) -> bool:
    connection.execute("SELECT count(*) FROM (SELECT 1 FROM memories LIMIT 1)").fetchall()
    connection.execute(
        "SELECT rowid FROM memories_fts WHERE memories_fts MATCH '\"a\"' LIMIT 1"
    ).fetchall()
    return True

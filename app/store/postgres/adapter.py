"""The store on PostgreSQL: what its writes lack, all that is asked by relevance."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from typing_extensions import override

from app.domain.errors import StoreUnavailableError
from app.store.postgres.age import look_for_age
from app.store.postgres.backlog import unembedded, waiting
from app.store.postgres.collection import Collection
from app.store.postgres.errors import RETRY_AFTER_SECONDS
from app.store.postgres.fragments import Fragment, fragment, rows
from app.store.postgres.graph_cursors import followed
from app.store.postgres.graph_follower import GraphFollower
from app.store.postgres.graph_reads import WHERE_FASTER, GraphReads, GraphUse
from app.store.postgres.recall_reads import RecallReads, Scope
from app.store.postgres.text_search import asked, search_all, search_any
from app.store.postgres.titles import titled_like
from app.store.postgres.vector_search import VectorLeg
from app.store.postgres.writes import PostgresWrites
from app.store.protocol import ScoredId, StoreStatus, TitledId
from app.store.sql.conditions import KnownConditions
from app.store.tables import CURRENT_SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg

    from app.domain.ranking import Candidate
    from app.domain.recalled import Choose, Chosen, WordHits
    from app.domain.sources import Clock, Randomness
    from app.store.postgres.writes import WriteOptions
    from app.store.protocol import Accepts, Unembedded
    from app.store.sql.filters import MemoryFilter, Viewer
    from app.store.sql.known import Known
    from app.store.sql.links import GraphBackend, LinkedMemory, LinkFilter
    from app.store.sql.selects import Record, SqlValue
    from app.store.writing.flush import FlushReport

_SOUND: Final = (
    "SELECT count(*) FROM pg_index"
    " WHERE indexrelid = to_regclass('memories_search_gin') AND indisvalid"
)


class PostgresStore(PostgresWrites):
    """See `Store`; the schema must be current."""

    def __init__(
        self,
        options: WriteOptions,
        clock: Clock,
        randomness: Randomness,
        *,
        dim: int = 0,
        graph_use: GraphUse = WHERE_FASTER,
    ) -> None:
        """Connect. `dim` is the embedding model's; where the schema's is another, none is found.

        `graph_use` says which questions Apache AGE answers where the database has it.

        Raises:
            StoreOpenError, StoreUnavailableError: as `connect`.
        """
        self._on_backlog: Callable[[], None] | None = None
        self._model = options.model
        self._location = str(options.connection.url)
        self._collection = Collection()
        self._vectors = VectorLeg(options.model, dim) if options.model is not None else None
        self._recalls = RecallReads(self._collection, self._vectors)
        super().__init__(options, clock, randomness)
        self._conditions = KnownConditions(self._readers.compiled)
        connection = options.connection
        self._graph = GraphReads(self._readers, connection.url.schema, graph_use)
        self._follower = GraphFollower(connection, self._readers.run_here(look_for_age))
        self._following = asyncio.Lock()

    @override
    def watch_backlog(self, notify: Callable[[], None]) -> None:
        """Call `notify` on the event loop when texts wait for a vector."""
        self._on_backlog = notify

    @override
    def _committed(self, report: FlushReport) -> None:
        if report.unembedded and self._on_backlog is not None:
            self._submissions.call_soon(self._on_backlog)

    @override
    async def ask(self, known: Known, chosen: MemoryFilter, **values: SqlValue) -> Sequence[Record]:
        """The rows of a known select."""
        return await self._readers.ask(known, chosen, values)

    @override
    async def search_text(
        self, query: str, chosen: MemoryFilter, limit: int, *, every_term: bool
    ) -> Sequence[ScoredId]:
        """Keyword hits."""
        condition = self._condition(chosen)

        def search(connection: psycopg.Connection) -> list[ScoredId]:
            if every_term:
                return search_all(connection, self._collection, query, condition, limit)
            facts = asked(connection, self._collection, query)
            if facts is None:
                return []
            return search_any(connection, facts, condition, chosen.namespaces, limit)

        return await self._readers.run(search)

    @override
    async def weighed(
        self, ids: Sequence[str], vector: Sequence[float] | None, query: str | None
    ) -> Sequence[Candidate]:
        """What ranking needs of given rows, in one read."""
        if not ids:
            return ()
        array = None if vector is None else np.asarray(vector, dtype=np.float32)

        return await self._readers.run(
            lambda connection: self._recalls.weighed(connection, ids, array, query)
        )

    @override
    async def recall_words(
        self, query: str, chosen: MemoryFilter, limit: int, *, covers: bool
    ) -> WordHits:
        """The text leg of a recall, with what ranking will need of its hits."""
        scope = Scope(self._condition(chosen), chosen.namespaces, limit)
        return await self._readers.run(
            lambda connection: self._recalls.words(connection, query, scope, covers=covers)
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
        if vector is not None:
            scope = Scope(self._condition(chosen), chosen.namespaces, limit)
            near = np.asarray(vector, dtype=np.float32), scope
        return await self._readers.run(
            lambda connection: self._recalls.best(connection, words, near, chosen.now, choose)
        )

    @property
    @override
    def graph_backend(self) -> GraphBackend:
        """Whether the database has Apache AGE, by the last look."""
        return self._follower.state.backend

    @property
    @override
    def graph_reason(self) -> str | None:
        """Why Apache AGE is not used, by the last look."""
        return self._follower.state.reason

    @override
    async def links_within(
        self, source_id: str, depth: int, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[LinkedMemory] | None:
        """What AGE knows to be near, if it is asked and can answer."""
        if self.graph_backend == "cte":
            return None
        return await self._graph.links_within(source_id, depth, links, chosen)

    @override
    async def paths_between(
        self, source_id: str, target_id: str, depth: int, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[Sequence[str]] | None:
        """Paths by AGE, if it is asked and can answer."""
        if self.graph_backend == "cte":
            return None
        return await self._graph.paths_between(source_id, target_id, depth, links, chosen)

    @override
    async def follow_graph(self) -> None:
        """Bring AGE's graph up to what is committed; called every second or so, beside writes.

        Raises:
            StoreOpenError, StoreUnavailableError: as `GraphFollower.follow`.
        """
        async with self._following:
            if self._write_options.inline:
                self._follower.follow()
            else:
                await asyncio.get_running_loop().run_in_executor(None, self._follower.follow)

    @override
    async def followed(self) -> Mapping[str, int]:
        """How far AGE's graph has come, where it is used; it is made anew where it was not."""
        return {} if self.graph_backend == "cte" else await self._read(followed)

    @override
    def _close(self) -> None:
        self._follower.close()
        super()._close()

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
        array = np.asarray(vector, dtype=np.float32)

        def search(connection: psycopg.Connection) -> Sequence[ScoredId]:
            question = vectors.asked(connection, array, limit)
            return () if question is None else question.search(condition, limit)

        return await self._readers.run(search)

    @override
    async def unembedded(
        self, model: str, limit: int, accepts: Accepts | None = None
    ) -> Sequence[Unembedded]:
        """Live memories without a current vector."""
        if model != self._model:
            return ()
        return await self._readers.run(
            lambda connection: unembedded(connection, model, limit, accepts)
        )

    @override
    async def unembedded_count(self, model: str, now: str) -> int:
        """How many memories wait for a vector."""
        if model != self._model:
            return 0
        return await self._readers.run(lambda connection: waiting(connection, model, now))

    @override
    async def status(self) -> StoreStatus:
        """Facts for health, capabilities and doctor."""
        clock = await self.clock()
        vectors, unindexed = await self._readers.run(self._counts)
        return StoreStatus(
            backend="postgres",
            location=self._location,
            origin=self.identity.origin,
            clock=clock,
            schema_version=CURRENT_SCHEMA_VERSION,
            vectors=vectors,
            vectors_outside_index=0,
            details={"embedding_backlog": unindexed, "epoch": self.identity.reason.value},
            replica_reads=self.replica_reads,
        )

    def _counts(self, connection: psycopg.Connection) -> tuple[int, int]:
        if self._model is None:
            return 0, 0
        found = rows(
            connection,
            fragment("SELECT count(*) FROM memory_vectors WHERE model = %s", self._model),
        )
        return cast("int", found[0][0]), waiting(connection, self._model, None)

    @override
    async def check(self) -> None:
        """Prove that the store answers."""
        found = await self._readers.run(_sound)
        if not found:
            raise StoreUnavailableError(
                "the text index is missing or damaged; run REINDEX INDEX memories_search_gin",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    @override
    async def refresh(self) -> None:
        """Take the sample of the rows anew."""
        await self._readers.run(self._collection.refresh)

    def _condition(self, chosen: MemoryFilter) -> Fragment:
        text, values = self._conditions.of(chosen)
        return Fragment(f"({text})", values)


def _sound(connection: psycopg.Connection) -> bool:
    rows(connection, fragment("SELECT id FROM memories WHERE search @@ 'a'::tsquery LIMIT 1"))
    return bool(rows(connection, fragment(_SOUND))[0][0])

"""Vectors behind the writes: the backlog that a worker empties, and making all of them anew."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.text import content_hash
from app.domain.timestamps import format_instant
from app.recall.embedding.protocol import (
    Embedded,
    EmbeddingRefusedError,
    embedding_text,
)
from app.services.commands.embeddings import RecordVector
from app.store.sql.filters import MemoryFilter
from app.store.sql.records import MemoryPosition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.recall.embedding.protocol import Embedder
    from app.services.caller import Caller
    from app.store.protocol import Accepts, Store, Unembedded

STEP_ROWS_MAX: Final = 1_000
_STEP_SECONDS_MAX: Final = 10.0
_LOGGER = logging.getLogger(__name__)


class StoreBacklog:
    """The embedding worker's source and sink over a store."""

    def __init__(self, store: Store, model: str, clock: Clock) -> None:
        self._store = store
        self._model = model
        self._clock = clock
        self.duties: Callable[[], Accepts | None] = lambda: None
        """Which texts are this node's to embed, by id and origin; None is all of them."""

    async def pending(self, limit: int) -> Sequence[Unembedded]:
        """Memories without a current vector that this node is to embed, oldest first."""
        return await self._store.unembedded(self._model, limit, self.duties())

    async def pending_count(self) -> int:
        """How many lack one, whoever is to embed them."""
        now = format_instant(self._clock.now())
        return await self._store.unembedded_count(self._model, now)

    async def record(self, vectors: Sequence[Embedded]) -> None:
        """One entry a vector; the store drops stale ones.

        Raises:
            StoreUnavailableError: the store refuses.
        """
        await _record(self._store, vectors, self._model)


@dataclass(frozen=True, slots=True)
class ReembedPlan:
    """What a run would do."""

    total_rows: int
    rows_with_embeddings: int
    target_model: str
    target_dim: int
    backend: str


@dataclass(frozen=True, slots=True)
class ReembedStep:
    """What one step did; `following` None is the end. A skipped row keeps the vector it has."""

    reembedded: int
    skipped: int
    model: str
    dim: int
    following: MemoryPosition | None


class ReembedService:
    """Replaces every vector, of whatever model, by one of the node's own embedder.

    In steps, so that a caller sees progress, may stop, and goes on where it was.
    """

    def __init__(
        self, store: Store, clock: Clock, embedder: Embedder, backend: str, threads: Executor
    ) -> None:
        """`threads` runs the embedder; `backend` is its name for people."""
        self._store = store
        self._clock = clock
        self._embedder = embedder
        self._backend = backend
        self._threads = threads

    async def plan(self, caller: Caller, namespace: str | None) -> ReembedPlan:
        """Count, and change nothing.

        Raises:
            AdminRequiredError: the caller is no admin.
        """
        caller.require_admin()
        found = await self._store.vector_counts(self._chosen(namespace))
        return ReembedPlan(
            found.memories,
            found.with_vector,
            self._embedder.fingerprint,
            self._embedder.dim,
            self._backend,
        )

    async def step(
        self, caller: Caller, namespace: str | None, after: MemoryPosition | None, limit: int
    ) -> ReembedStep:
        """Embed the next memories, by age, for a few seconds or up to `limit` of them.

        Raises:
            AdminRequiredError: the caller is no admin.
            EmbeddingError: the backend failed; what it did before is recorded.
        """
        caller.require_admin()
        embedder = self._embedder
        if limit < 1:
            raise InvalidInputError("limit must be >= 1", fields=["limit"])
        limit = min(limit, STEP_ROWS_MAX)
        rows = await self._store.memories_after(self._chosen(namespace), after, limit)
        made: list[Embedded] = []
        done, deadline = 0, self._clock.monotonic() + _STEP_SECONDS_MAX
        try:
            for row in rows:
                vector = await self._embed(row)
                made.extend(() if vector is None else (vector,))
                done += 1
                if self._clock.monotonic() >= deadline:
                    break
        finally:
            recorded = await _record(self._store, made, embedder.fingerprint)
        is_last = done == len(rows) < limit
        following = MemoryPosition(rows[done - 1].created_at, rows[done - 1].id) if rows else None
        return ReembedStep(
            recorded,
            done - recorded,
            embedder.fingerprint,
            embedder.dim,
            None if is_last else following,
        )

    async def _embed(self, row: Memory) -> Embedded | None:
        text = embedding_text(row.claimed_title, row.content)
        loop = asyncio.get_running_loop()
        try:
            vector = await loop.run_in_executor(self._threads, self._embedder.embed_document, text)
        except EmbeddingRefusedError as error:
            if not error.is_about_text:
                raise
            _LOGGER.warning("the embedding backend refuses the text of %s", row.id)
            return None
        return Embedded(
            row.id, content_hash(row.claimed_title, row.content), vector.astype(np.float16)
        )

    def _chosen(self, namespace: str | None) -> MemoryFilter:
        return MemoryFilter(
            now=format_instant(self._clock.now()),
            namespaces=() if namespace is None else (must.namespace(namespace),),
        )


async def _record(store: Store, vectors: Sequence[Embedded], model: str) -> int:
    """How many memories were there to take their vector."""
    recorded = 0
    for done in await store.submit_all([RecordVector(one, model) for one in vectors]):
        if isinstance(done, Exception):
            raise done
        recorded += done.result
    return recorded

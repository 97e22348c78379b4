"""The embedder that the configuration asks for, and its ports over the store."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from app.log import drafts
from app.recall.embedding.factory import BuiltEmbedder, EmbedderChoice, build_embedder
from app.recall.embedding.query_cache import QueryCache
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.config.resolve import Resolution
    from app.recall.embedding.protocol import Embedded, Embedder, Vector
    from app.store.protocol import Store, Unembedded, View

EMBEDDING_ACTOR: Final = "system"
_QUERY_THREADS: Final = 2


def choose_embedder(resolution: Resolution) -> BuiltEmbedder:
    """Build what the resolved configuration says; loading a local model takes half a second."""
    settings = resolution.settings
    chosen = settings.embeddings
    key = resolution.embeddings_key.secret
    built = build_embedder(
        EmbedderChoice(
            tier=settings.tier,
            backend=chosen.backend,
            model=chosen.model,
            dim=chosen.dim,
            base_url=chosen.base_url,
            api_key=None if key is None else key.reveal(),
            model_dir=chosen.model_dir,
        )
    )
    if built.embedder is None:
        return built
    return BuiltEmbedder(QueryCache(built.embedder), built.reason, built.degraded)


class QueryThreads:
    """Embeds questions off the event loop, in threads that the backlog never uses."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._pool = ThreadPoolExecutor(_QUERY_THREADS, thread_name_prefix="embed-query")

    async def embed_query(self, text: str) -> Vector:
        """A unit vector."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._embedder.embed_query, text
        )

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown(wait=True)


class StoreBacklog:
    """The worker's source and sink over a store."""

    def __init__(self, store: Store, model: str) -> None:
        self._store = store
        self._model = model

    async def pending(self, limit: int) -> Sequence[Unembedded]:
        """Memories that lack a current vector."""
        return await self._store.unembedded(self._model, limit)

    async def pending_count(self) -> int:
        """How many lack one."""
        return await self._store.unembedded_count(self._model, "")

    async def record(self, vectors: Sequence[Embedded]) -> None:
        """Append one entry a vector; stale ones are dropped by the store."""
        outcomes = await self._store.submit_all([RecordVector(one, self._model) for one in vectors])
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


class RecordVector:
    """One vector."""

    def __init__(self, embedded: Embedded, model: str) -> None:
        self._embedded = embedded
        self._model = model

    @property
    def needs(self) -> Needs:
        """The memory, to see whether the vector is still of its content."""
        return Needs(memories=(self._embedded.memory_id,))

    def decide(self, view: View) -> Decided[None]:
        """An entry, unless the memory is gone."""
        found = view.snapshot(self._embedded.memory_id)
        if found is None or not found.is_live:
            return Decided(lambda _: None)
        vector = self._embedded.vector
        draft = drafts.embedding(
            self._embedded.memory_id,
            self._embedded.content_hash,
            self._model,
            len(vector),
            vector.astype("<f2").tobytes(),
            EMBEDDING_ACTOR,
        )
        return Decided(lambda _: None, [draft])

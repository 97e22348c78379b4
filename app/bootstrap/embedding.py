"""The embedder that the configuration asks for, and the threads that questions are embedded in."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from app.recall.embedding.factory import BuiltEmbedder, EmbedderChoice, build_embedder
from app.recall.embedding.query_cache import QueryCache

if TYPE_CHECKING:
    from pathlib import Path

    from app.config.resolve import Resolution
    from app.recall.embedding.protocol import Embedder, Vector

_QUERY_THREADS: Final = 2
_GRAPH_SUFFIX: Final = ".graph"


def choose_embedder(resolution: Resolution, database: Path) -> BuiltEmbedder:
    """Build what the resolved configuration says; loading a local model takes half a second.

    The rewritten graph of a local model is kept beside the database, as its other caches are.
    """
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
            graph_kept_at=database.with_name(database.name + _GRAPH_SUFFIX),
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

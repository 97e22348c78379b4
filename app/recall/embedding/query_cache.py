"""Queries repeat: the last ones keep their vectors."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.recall.embedding.protocol import Embedder, Vector


class QueryCache:
    """An embedder whose latest distinct queries cost nothing; safe from several threads."""

    def __init__(self, embedder: Embedder, capacity: int = 1_024) -> None:
        self._embedder = embedder
        self._cached = lru_cache(capacity)(self._embed)

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def dim(self) -> int:
        return self._embedder.dim

    @property
    def hits(self) -> int:
        return self._cached.cache_info().hits

    def embed_query(self, text: str) -> Vector:
        """The vector is shared between callers and read-only."""
        return self._cached(text)

    def embed_document(self, text: str) -> Vector:
        return self._embedder.embed_document(text)

    def close(self) -> None:
        self._embedder.close()

    def _embed(self, text: str) -> Vector:
        vector = self._embedder.embed_query(text)
        vector.flags.writeable = False
        return vector

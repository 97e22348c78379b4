"""The store as recall's pipeline wants it: two legs and a reader of rows, scoped by a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.recall.ports import ScoredId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.ranking import Candidate
    from app.recall.ports import Vector
    from app.store.protocol import Store
    from app.store.sql.filters import MemoryFilter


@dataclass(frozen=True, slots=True)
class StoreLegs:
    """Both retrievers and the fetcher over one store."""

    store: Store

    async def search_text(self, query: str, scope: MemoryFilter, limit: int) -> Sequence[ScoredId]:
        hits = await self.store.search_text(query, scope, limit, every_term=False)
        return [ScoredId(hit.id, hit.score) for hit in hits]

    async def search_vector(
        self, vector: Vector, scope: MemoryFilter, limit: int
    ) -> Sequence[ScoredId]:
        hits = await self.store.search_vector(numbers(vector), scope, limit)
        return [ScoredId(hit.id, hit.score) for hit in hits]

    async def candidates(
        self, ids: Sequence[str], vector: Vector | None, query: str | None
    ) -> Sequence[Candidate]:
        return await self.store.weighed(ids, None if vector is None else numbers(vector), query)

    async def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """A budget counts contents (http-api 3.3)."""
        return await self.store.contents_of(ids)


def numbers(vector: Vector) -> Sequence[float]:
    """A vector as the store's reads take it."""
    # An array is what the store makes of it again; a list would cost a conversion each way.
    return vector  # type: ignore[return-value]

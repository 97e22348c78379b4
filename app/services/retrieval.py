"""The store as recall's pipeline wants it: words first, then the best of all, within a filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.recalled import Choose, Chosen, WordHits
    from app.recall.ports import Vector
    from app.store.protocol import Store
    from app.store.sql.filters import MemoryFilter


@dataclass(frozen=True, slots=True)
class StoreLegs:
    """Both reads of a recall over one store."""

    store: Store

    async def search_words(
        self, query: str, scope: MemoryFilter, limit: int, *, covers: bool
    ) -> WordHits:
        return await self.store.recall_words(query, scope, limit, covers=covers)

    async def best(
        self,
        words: WordHits,
        vector: Vector | None,
        scope: MemoryFilter,
        limit: int,
        choose: Choose,
    ) -> Chosen:
        array = None if vector is None else numbers(vector)
        return await self.store.recall_best(words, array, scope, limit, choose)


def numbers(vector: Vector) -> Sequence[float]:
    """A vector as the store's reads take it."""
    # An array is what the store makes of it again; a list would cost a conversion each way.
    return vector  # type: ignore[return-value]

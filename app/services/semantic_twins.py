"""Near-duplicates by meaning, looked for before a store answers: `near_duplicate = "sync"`.

The default leaves this to the text's hash inside the writer; here a store waits for an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import BackendError, FeatureMissingError
from app.services.commands.memories import near_duplicate
from app.services.retrieval import numbers
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from app.domain.memory import Memory
    from app.recall.ports import QueryEmbedder
    from app.services.caller import Caller
    from app.store.protocol import Store

_NEIGHBOURS: Final = 5  # http-api 3.2, stage 11
_COSINE_MIN: Final = 0.95


@dataclass(frozen=True, slots=True)
class SemanticTwins:
    """Refuses a text whose meaning a visible memory of the same namespace already holds."""

    store: Store
    embedder: QueryEmbedder

    async def refuse(self, row: Memory, caller: Caller) -> None:
        """Let a row pass that is new. Without an embedder every row is.

        Raises:
            ConflictError: a neighbour means the same in other words.
        """
        try:
            vector = await self.embedder.embed_query(f"{row.title} {row.content}")
        except (BackendError, FeatureMissingError):
            return
        chosen = MemoryFilter(
            now=row.updated_at, viewer=caller.viewer(), namespaces=(row.namespace,)
        )
        hits = await self.store.search_vector(numbers(vector), chosen, _NEIGHBOURS)
        likeness = {hit.id: hit.score for hit in hits if hit.score >= _COSINE_MIN}
        for twin in await self.store.get_many(list(likeness), chosen):
            # The row of the same title is what on_conflict decides about.
            if twin.content != row.content and twin.title != row.title:
                raise near_duplicate(twin, round(likeness[twin.id], 3))

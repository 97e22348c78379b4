"""Whether a memory is there already, asked before it is stored (http-api 3.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from app.domain import validation as must
from app.domain.errors import FeatureMissingError
from app.domain.timestamps import format_instant
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.recall.ports import QueryEmbedder
    from app.services.caller import Caller
    from app.store.protocol import Store

THRESHOLD_MIN: Final = 0.5

_NAMESAKES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Probe:
    """A memory that is not stored yet, not checked yet."""

    title: str
    content: str
    namespace: str | None = None
    threshold: float = 0.85


@dataclass(frozen=True, slots=True)
class DuplicateCheck:
    """The nearest memory that the caller sees, if any, and how near: 0 to 1."""

    threshold: float
    nearest: Memory | None
    similarity: float
    candidates_scanned: int

    @property
    def is_duplicate(self) -> bool:
        return self.nearest is not None and self.similarity >= self.threshold


class DuplicateService:
    """Looks for equal texts first, then for near ones. `embedder` None knows equal ones only."""

    def __init__(self, store: Store, clock: Clock, embedder: QueryEmbedder | None = None) -> None:
        self.store = store
        self.clock = clock
        self.embedder = embedder

    async def check(self, probe: Probe, caller: Caller) -> DuplicateCheck:
        """The nearest memory, also when it lies below the threshold.

        Raises:
            InvalidInputError: a value that could not be stored.
            FeatureMissingError: no equal text, and no embedder to find a near one.
        """
        must.title(probe.title)
        must.content(probe.content)
        threshold = min(1.0, max(probe.threshold, THRESHOLD_MIN))
        chosen = MemoryFilter(
            now=format_instant(self.clock.now()),
            viewer=caller.viewer(),
            namespaces=() if probe.namespace is None else (must.namespace(probe.namespace),),
        )
        namesakes = await self.store.list_memories(
            replace(chosen, title=probe.title), _NAMESAKES_MAX, 0
        )
        for one in namesakes.memories:
            if one.content == probe.content:
                return DuplicateCheck(threshold, one, 1.0, namesakes.total)
        if self.embedder is None:
            raise FeatureMissingError("embedder not available", feature="embedder")
        # v0.7.0 compares what it would store: title and content (http-api 3.2, stage 4).
        vector = await self.embedder.embed_query(f"{probe.title} {probe.content}")
        return await self._nearest(cast("Sequence[float]", vector), threshold, chosen)

    async def _nearest(
        self, vector: Sequence[float], threshold: float, chosen: MemoryFilter
    ) -> DuplicateCheck:
        everything = await self.store.list_memories(chosen, 1, 0)
        for hit in await self.store.search_vector(vector, chosen, 1):
            found = await self.store.get(hit.id, chosen)
            if found is not None:
                similarity = round(min(1.0, max(0.0, hit.score)), 3)
                return DuplicateCheck(threshold, found, similarity, everything.total)
        return DuplicateCheck(threshold, None, 0.0, everything.total)

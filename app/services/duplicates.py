"""Whether a memory is there already, asked before it is stored (http-api 3.5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from app.domain import validation as must
from app.domain.errors import FeatureMissingError
from app.domain.timestamps import format_instant
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.store.protocol import Store

THRESHOLD_MIN: Final = 0.5

_NAMESAKES_MAX: Final = 1_000


class TextEmbedder(Protocol):
    """Turns a text into the vector that a stored memory of this text would have."""

    async def embed(self, text: str) -> Sequence[float]:
        """A unit vector.

        Raises:
            FeatureMissingError: there is no embedder now.
            BackendError: it failed.
        """
        ...


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


@dataclass(slots=True)
class DuplicateService:
    """Looks for equal texts first, then for near ones. `embedder` None knows equal ones only."""

    store: Store
    clock: Clock
    embedder: TextEmbedder | None = None

    async def check(self, probe: Probe, caller: Caller) -> DuplicateCheck:
        """The nearest memory, also when it lies below the threshold.

        Raises:
            InvalidInputError: a value that could not be stored.
            FeatureMissingError: no equal text, and no embedder to find a near one.
        """
        must.title(probe.title)
        must.content(probe.content)
        must.confidence(probe.threshold)
        threshold = max(probe.threshold, THRESHOLD_MIN)
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
        vector = await self.embedder.embed(f"{probe.title} {probe.content}")
        return await self._nearest(vector, threshold, chosen)

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

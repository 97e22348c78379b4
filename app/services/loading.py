"""Loading the memories of one family at once (http-api 3.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.timestamps import format_instant
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.store.protocol import Store

FAMILIES: Final = (
    "core",
    "lifecycle",
    "graph",
    "governance",
    "power",
    "meta",
    "archive",
    "other",
)
LOADED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class LoadedFamily:
    """The memories of a family, and how many were asked for at most."""

    family: str
    namespace: str | None
    limit: int
    memories: Sequence[Memory]


class LoadingService:
    """Memories by what they are for."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def family(
        self, caller: Caller, family: str, namespace: str | None, limit: int
    ) -> LoadedFamily:
        """What the caller may see of a family, by priority, then recency.

        Raises:
            InvalidInputError: no such family, or no such namespace can be.
        """
        if family not in FAMILIES:
            words = ", ".join(FAMILIES)
            raise InvalidInputError(
                f"unknown family '{family}' — must be one of: {words}", fields=["family"]
            )
        chosen = MemoryFilter(
            now=format_instant(self._clock.now()),
            viewer=caller.viewer(),
            namespaces=() if namespace is None else (must.namespace(namespace),),
            metadata_equals=(("family", family),),
        )
        shown = min(max(limit, 1), LOADED_MAX)
        page = await self._store.list_memories(chosen, shown, 0)
        return LoadedFamily(family, namespace, shown, page.memories)

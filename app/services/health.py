"""Whether the node can serve."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import AiMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.services.embedding_state import EmbeddingState
    from app.services.federation import FederationService
    from app.store.protocol import Store

_CHECK_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class Health:
    """`problem` is None when all is well."""

    embedder_ready: bool
    federation_enabled: bool
    problem: str | None

    @property
    def is_ok(self) -> bool:
        return self.problem is None


class HealthService:
    """Asks the store to prove itself.

    `embedding` is asked anew each time, because a model loads while the node already serves.
    """

    def __init__(
        self, store: Store, embedding: Callable[[], EmbeddingState], federation: FederationService
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._federation = federation

    async def look(self) -> Health:
        """A sick store is an answer, no error."""
        problem: str | None = None
        try:
            async with asyncio.timeout(_CHECK_SECONDS_MAX):
                await self._store.check()
        except TimeoutError:
            problem = "the store does not answer"
        except AiMemoryError as error:
            problem = error.message
        return Health(self._embedding().is_ready, self._federation.is_enabled, problem)

"""Memories that may disagree: those on one topic whose texts differ (http-api 3.6)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
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

CONTRADICTS: Final = "contradicts"
PAIRS_MAX: Final = 5_000
"""Pairs that are named in one answer: 1000 rows on one topic would make half a million."""

_ROWS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two memories that contradict each other: by a stored link, or as it looks."""

    source_id: str
    target_id: str
    is_synthesized: bool


@dataclass(frozen=True, slots=True)
class Disagreements:
    """The memories that were looked at, and which pairs disagree."""

    memories: Sequence[Memory]
    pairs: Sequence[Disagreement]
    is_truncated: bool


class DisagreementService:
    """Looks for contradictions without asking a model."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    async def find(
        self, topic: str | None, namespace: str | None, limit: int, caller: Caller
    ) -> Disagreements:
        """What is said about a topic, or in a namespace, and where it differs.

        Raises:
            InvalidInputError: neither topic nor namespace.
        """
        if not topic and not namespace:
            raise InvalidInputError(
                "at least one of topic or namespace is required", fields=["topic", "namespace"]
            )
        chosen = MemoryFilter(
            now=format_instant(self.clock.now()),
            viewer=caller.viewer(),
            namespaces=(must.namespace(namespace),) if namespace else (),
        )
        rows = await self.store.about_topic(topic or None, chosen, max(0, min(limit, _ROWS_MAX)))
        links = await self.store.links_among([row.id for row in rows], CONTRADICTS)
        pairs = [Disagreement(one.source_id, one.target_id, False) for one in links]
        # By title alone without a topic: rows of one namespace rarely mean the same thing.
        for one, other in combinations(rows, 2):
            if one.content == other.content or not (topic or one.title == other.title):
                continue
            if len(pairs) >= PAIRS_MAX:
                return Disagreements(rows, pairs, is_truncated=True)
            pairs.append(Disagreement(one.id, other.id, True))
        return Disagreements(rows, pairs, is_truncated=False)

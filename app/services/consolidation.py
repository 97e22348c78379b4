"""Consolidation: one memory in the place of several."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.memory import Memory
from app.domain.timestamps import format_instant
from app.services.commands.consolidation import Consolidate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.sources import Clock, IdSource
    from app.services.caller import Caller
    from app.services.new_memory import TierLives
    from app.store.protocol import Store

SOURCES_MIN: Final = 2
SOURCES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class AskedConsolidation:
    """A consolidation as a client asks for it, not checked yet; without summary, titles do."""

    ids: Sequence[str]
    title: str
    summary: str | None = None
    namespace: str = "global"
    tier: str = "long"


class ConsolidationService:
    """Makes summaries. `archive_deleted` keeps a copy of expired rows in the way."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: IdSource,
        lives: TierLives,
        *,
        archive_deleted: bool = True,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.lives = lives
        self.archive_deleted = archive_deleted

    async def consolidate(self, asked: AskedConsolidation, caller: Caller) -> Memory:
        """The new memory; its sources are in the archive when this returns.

        Raises:
            InvalidInputError: a value that may not be stored, or an unknown source.
            NotOwnerError: a source is another agent's.
            ConflictError: the title is taken by a memory that is no source.
        """
        _check(asked)
        standards = await self.store.namespaces_led_by(asked.ids)
        command = Consolidate(
            self._frame(asked, caller), asked.ids, caller, standards, self.archive_deleted
        )
        return (await self.store.submit(command)).result

    def _frame(self, asked: AskedConsolidation, caller: Caller) -> Memory:
        now = self.clock.now()
        seconds = self.lives.seconds(asked.tier)
        stamp = format_instant(now)
        return Memory(
            id=self.ids.uuid4(),
            tier=asked.tier,
            namespace=asked.namespace,
            title=asked.title,
            content=asked.summary or "",
            tags=(),
            priority=5,
            confidence=1.0,
            source="consolidation",
            access_count=0,
            created_at=stamp,
            updated_at=stamp,
            expires_at=None
            if seconds is None
            else format_instant(now + timedelta(seconds=seconds)),
            metadata={"agent_id": caller.agent_id},
        )


def _check(asked: AskedConsolidation) -> None:
    if len(asked.ids) < SOURCES_MIN:
        raise InvalidInputError("need at least 2 memory IDs to consolidate", fields=["ids"])
    if len(asked.ids) > SOURCES_MAX:
        raise InvalidInputError("cannot consolidate more than 100 memories at once", fields=["ids"])
    known: set[str] = set()
    for one in asked.ids:
        if must.memory_id(one, "ids") in known:
            raise InvalidInputError(f"duplicate memory ID: {one}", fields=["ids"])
        known.add(one)
    must.title(asked.title)
    if asked.summary is not None:
        must.content(asked.summary, "summary")
    must.namespace(asked.namespace)
    must.tier(asked.tier)

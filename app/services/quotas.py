"""What agents have used of their quotas (http-api 2.12 and 3.11, semantics 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import format_instant
from app.store.protocol import QuotaLimits
from app.store.sql.records import QuotaCounters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.store.protocol import Store

AGGREGATE: Final = "_global"
"""The namespace that stands for all of them."""

UNLIMITED: Final = (1 << 53) - 1
"""How "no limit" is shown: the greatest integer that every JSON reader keeps exact."""

_NO_LIMITS: Final = QuotaLimits(None, None, None)
_DATE_CHARACTERS: Final = 10


class QuotaService:
    """Looks; the counting is done where writes are decided. `limits` None: nobody is limited."""

    def __init__(self, store: Store, clock: Clock, limits: QuotaLimits | None) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def own(self, caller: Caller, namespace: str | None) -> QuotaCounters:
        """The caller's counters in one namespace, or over all of them."""
        place = AGGREGATE if namespace is None else namespace
        now = format_instant(self._clock.now())
        found = await self._store.quota(caller.agent_id, place)
        if found is None:
            # v0.7.0 writes such a row; a look should not.
            found = self._unused(caller.agent_id, place, now)
        return self._today(found, now)

    async def all(self, caller: Caller, namespace: str | None) -> Sequence[QuotaCounters]:
        """Everybody's counters.

        Raises:
            AdminRequiredError: the caller is no admin.
        """
        caller.require_admin()
        now = format_instant(self._clock.now())
        return [self._today(found, now) for found in await self._store.quotas(namespace)]

    def _unused(self, agent_id: str, namespace: str, now: str) -> QuotaCounters:
        limits = self._limits or _NO_LIMITS
        return QuotaCounters(
            agent_id=agent_id,
            namespace=namespace,
            max_memories_per_day=_shown(limits.memories_per_day),
            max_storage_bytes=_shown(limits.storage_bytes),
            max_links_per_day=_shown(limits.links_per_day),
            current_memories_today=0,
            current_storage_bytes=0,
            current_links_today=0,
            day_started_at=now[:_DATE_CHARACTERS],
            created_at=now,
            updated_at=now,
        )

    def _today(self, found: QuotaCounters, now: str) -> QuotaCounters:
        """Yesterday's counts are gone, even if nothing was written since."""
        if found.day_started_at[:_DATE_CHARACTERS] == now[:_DATE_CHARACTERS]:
            return found
        return replace(
            found,
            current_memories_today=0,
            current_links_today=0,
            day_started_at=now[:_DATE_CHARACTERS],
        )


def _shown(limit: int | None) -> int:
    return UNLIMITED if limit is None else limit

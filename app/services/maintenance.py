"""Statistics and garbage collection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import format_instant
from app.services.commands.maintenance import EraseArchived, UnbindDeadStandards

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain.sources import Clock
    from app.observability.metrics import Metrics
    from app.services.caller import Caller
    from app.services.embedding_state import EmbeddingState
    from app.store.protocol import Store, StoreStatus
    from app.store.sql.statistics import Statistics

GC_ACTOR: Final = "system"

_EXPIRING_SOON: Final = timedelta(hours=1)  # http-api 2.12
_ROWS_PER_STEP: Final = 500
_STEPS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """What `/stats` shows."""

    counts: Statistics
    status: StoreStatus
    embedding: EmbeddingState
    index_evictions: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What one collection did."""

    expired: int
    erased: int
    unbound: int


class MaintenanceService:
    """`archive_max_days` None keeps archived rows for good."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        embedding: Callable[[], EmbeddingState],
        *,
        archive_on_gc: bool,
        archive_max_days: int | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._embedding = embedding
        self._archive_on_gc = archive_on_gc
        self._archive_max_days = archive_max_days

    async def stats(self, caller: Caller) -> StoreStatistics:
        """For admins.

        Raises:
            AdminRequiredError: the caller is none.
        """
        caller.require_admin()
        return await self.statistics()

    async def statistics(self) -> StoreStatistics:
        """The same, asked by the node itself."""
        now = self._clock.now()
        embedding = self._embedding()
        counts = await self._store.statistics(
            format_instant(now), format_instant(now + _EXPIRING_SOON), embedding.fingerprint
        )
        status = await self._store.status()
        return StoreStatistics(counts, status, embedding, self._metrics.index_evictions())

    async def gc(self, caller: Caller) -> Collected:
        """Collect now, for admins.

        Raises:
            AdminRequiredError: the caller is none.
        """
        caller.require_admin()
        return await self.collect()

    async def collect(self) -> Collected:
        """Move expired rows out, erase what the archive held too long, unbind dead standards.

        Works in short steps, so that other writes get in between.
        """
        return Collected(
            expired=await self._expire(),
            erased=await self._erase(),
            unbound=await self._unbind(),
        )

    async def refresh_gauges(self) -> None:
        """Set the gauges that only a look into the store can tell."""
        activity = await self._store.activity()
        status = await self._store.status()
        self._metrics.memories.set(activity.memories)
        self._metrics.subscriptions_active.set(activity.subscriptions)
        self._metrics.hnsw_size.set(status.vectors)
        self._metrics.embeddings_made.set(self._embedding().made)

    async def _expire(self) -> int:
        collected = 0
        for _ in range(_STEPS_MAX):
            gone = await self._store.collect_expired(_ROWS_PER_STEP, archive=self._archive_on_gc)
            collected += len(gone)
            if len(gone) < _ROWS_PER_STEP:
                break
        return collected

    async def _erase(self) -> int:
        if self._archive_max_days is None:
            return 0
        oldest_kept = format_instant(self._clock.now() - timedelta(days=self._archive_max_days))
        erased = 0
        for _ in range(_STEPS_MAX):
            ids = await self._store.archived_before(oldest_kept, _ROWS_PER_STEP)
            done = (await self._store.submit(EraseArchived(ids, GC_ACTOR))).result if ids else 0
            erased += done
            if done < _ROWS_PER_STEP:
                break
        return erased

    async def _unbind(self) -> int:
        found = await self._store.dangling_standards(_ROWS_PER_STEP)
        if not found:
            return 0
        return (await self._store.submit(UnbindDeadStandards(found, GC_ACTOR))).result

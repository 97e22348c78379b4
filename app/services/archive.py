"""The archive, and the ways into it that take many memories: archive, forget, restore, purge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.timestamps import format_instant
from app.services.commands.archive import (
    ArchiveMemories,
    ForgetMemories,
    Moved,
    PurgeArchived,
    RestoreMemory,
)
from app.store.sql.archive import ArchivePosition, NamespaceCount
from app.store.sql.filters import MemoryFilter, Viewer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.domain.memory import ArchivedMemory, Memory
    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.services.new_memory import TierLives
    from app.store.protocol import Store

ARCHIVE_IDS_MAX: Final = 1_000
_ENTRY_IDS_MAX: Final = 500
_DAYS_MAX: Final = 3_650_000
_TEXT_HITS_MAX: Final = 1_000_000
# Before every expiry, so that the filter lets expired rows through as well.
_BEFORE_ALL: Final = "0001-01-01T00:00:00.000000+00:00"


@dataclass(frozen=True, slots=True)
class ForgetFilter:
    """Which memories to forget; at least one must be given. `pattern` wants any of its words."""

    namespace: str | None = None
    pattern: str | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class ListedArchive:
    """A page, how many there are in all, and where the next page starts."""

    rows: Sequence[ArchivedMemory]
    total: int
    following: ArchivePosition | None


@dataclass(frozen=True, slots=True)
class ArchiveStats:
    """Archived rows in all and by namespace."""

    total: int
    by_namespace: Sequence[NamespaceCount]


class ArchiveService:
    """`archive_deleted` False: what is forgotten leaves no copy."""

    def __init__(
        self, store: Store, clock: Clock, lives: TierLives, *, archive_deleted: bool
    ) -> None:
        self._store = store
        self._clock = clock
        self._lives = lives
        self._archive_deleted = archive_deleted

    async def page(
        self,
        namespace: str | None,
        caller: Caller,
        limit: int,
        offset: int = 0,
        after: ArchivePosition | None = None,
    ) -> ListedArchive:
        """Newest first, for admins.

        Raises:
            InvalidInputError: a limit below 1 (http-api 3.4).
        """
        caller.require_admin()
        if limit < 1:
            raise InvalidInputError("limit must be >= 1", fields=["limit"])
        page = await self._store.archived(namespace, limit + 1, offset, after)
        rows = page.rows[:limit]
        following = None
        if len(page.rows) > limit:
            following = ArchivePosition(rows[-1].archived_at, rows[-1].memory.id)
        return ListedArchive(rows, page.total, following)

    async def stats(self, caller: Caller) -> ArchiveStats:
        caller.require_admin()
        counts = await self._store.archive_counts()
        return ArchiveStats(sum(one.count for one in counts), counts)

    async def archive(self, ids: Sequence[str], reason: str, caller: Caller) -> Moved:
        """Move memories to the archive; what the caller may not move is `missing`.

        Raises:
            InvalidInputError: more than 1000 ids, or one that is none, before any change.
        """
        if len(ids) > ARCHIVE_IDS_MAX:
            raise InvalidInputError(
                f"archive limited to {ARCHIVE_IDS_MAX} ids per request", fields=["ids"]
            )
        for memory_id in ids:
            _checked_id(memory_id)
        must.title(reason, "reason")
        standards = await self._store.namespaces_led_by(ids)
        return (await self._store.submit(ArchiveMemories(ids, caller, reason, standards))).result

    async def restore(self, memory_id: str, caller: Caller) -> Memory:
        """Bring a row back.

        Raises:
            NotFoundError: not in the archive, or not the caller's.
            ConflictError: live, or its title is taken by now.
        """
        command = RestoreMemory(
            must.memory_id(memory_id), caller, self._lives, self._archive_deleted
        )
        return (await self._store.submit(command)).result

    async def purge(self, older_than_days: int | None, caller: Caller) -> int:
        """Erase archived rows, an admin everyone's, others their own; answers how many.

        Raises:
            InvalidInputError: a negative age.
        """
        before = None
        if older_than_days is not None:
            if older_than_days < 0:
                raise InvalidInputError(
                    f"older_than_days must not be negative (got {older_than_days})",
                    fields=["older_than_days"],
                )
            before = self._days_ago(older_than_days)
        viewer = caller.viewer(admin_sees_all=True)
        purged = 0
        async for ids in self._archived_in_steps(viewer, before):
            purged += (await self._store.submit(PurgeArchived(ids, caller))).result
        return purged

    async def count_forgettable(self, chosen: ForgetFilter, caller: Caller) -> int:
        """How many `forget` would remove."""
        caller.require_admin()
        return len([one async for ids in self._forgettable(chosen) for one in ids])

    async def forget(self, chosen: ForgetFilter, caller: Caller) -> int:
        """Remove every memory that fits, whoever owns it; answers how many.

        Raises:
            InvalidInputError: no condition at all.
        """
        caller.require_admin()
        forgotten = 0
        async for ids in self._forgettable(chosen):
            standards = await self._store.namespaces_led_by(ids)
            command = ForgetMemories(ids, caller, self._archive_deleted, standards)
            forgotten += (await self._store.submit(command)).result
        return forgotten

    async def _forgettable(self, chosen: ForgetFilter) -> AsyncIterator[Sequence[str]]:
        if not (chosen.namespace or chosen.pattern or chosen.tier):
            raise InvalidInputError(
                "at least one of namespace, pattern, or tier is required",
                fields=["namespace", "pattern", "tier"],
            )
        wanted = MemoryFilter(
            now=_BEFORE_ALL,
            namespaces=(chosen.namespace,) if chosen.namespace else (),
            tier=must.tier(chosen.tier) if chosen.tier else None,
        )
        if chosen.pattern:
            hits = await self._store.search_text(
                chosen.pattern, wanted, _TEXT_HITS_MAX, every_term=False
            )
            for start in range(0, len(hits), _ENTRY_IDS_MAX):
                yield [hit.id for hit in hits[start : start + _ENTRY_IDS_MAX]]
            return
        after = ""
        while ids := await self._store.ids_of(wanted, _ENTRY_IDS_MAX, after):
            yield ids
            after = ids[-1]

    async def _archived_in_steps(
        self, viewer: Viewer, before: str | None
    ) -> AsyncIterator[Sequence[str]]:
        after = ""
        while ids := await self._store.archived_ids(viewer, before, _ENTRY_IDS_MAX, after):
            yield ids
            after = ids[-1]

    def _days_ago(self, days: int) -> str:
        try:
            return format_instant(self._clock.now() - timedelta(days=min(days, _DAYS_MAX)))
        except OverflowError:
            return _BEFORE_ALL


def _checked_id(memory_id: str) -> str:
    try:
        return must.memory_id(memory_id)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"invalid id {memory_id}: {error.message}", fields=["ids"]
        ) from error

"""Everything out, and everything back in (http-api 3.11)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from app.domain.errors import AiMemoryError, InvalidInputError, StoreUnavailableError
from app.domain.timestamps import format_instant
from app.services.commands.agents import AGENTS_NAMESPACE
from app.services.commands.portability import ImportedRow, ImportLink, ImportMemory
from app.services.imported import checked_link, checked_memory
from app.store.protocol import Receipt
from app.store.sql.filters import MemoryFilter
from app.store.sql.records import LinkPosition, MemoryPosition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.domain.sources import Clock, IdSource
    from app.services.caller import Caller
    from app.store.protocol import QuotaLimits, Store

IMPORT_ROWS_MAX: Final = 1_000
EXPORT_PAGE_MAX: Final = 1_000
_ROWS_A_STEP: Final = 250
_CHECKED_A_STEP: Final = 50
_LOGGER = logging.getLogger(__name__)

Position: TypeAlias = "MemoryPosition | LinkPosition | None"


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Some memories, or after the last of them some links; `following` None is the end."""

    memories: Sequence[Memory]
    links: Sequence[MemoryLink]
    following: Position


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of one row."""

    status: Literal["imported", "updated", "failed"]
    memory_id: str | None = None
    error: AiMemoryError | None = None


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What became of an import; links that could not be made are only counted, as in v0.7.0."""

    rows: Sequence[RowOutcome]
    restamped: int
    links_imported: int
    links_skipped: int


class PortabilityService:
    """For admins. `limits` None charges nobody."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: IdSource,
        limits: QuotaLimits | None,
        *,
        archive_expired: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._archive_expired = archive_expired

    # -- export ----------------------------------------------------------------------------

    def exported_at(self, caller: Caller) -> str:
        """The time to write into an export.

        Raises:
            AdminRequiredError: the caller is no admin.
        """
        caller.require_admin()
        return format_instant(self._clock.now())

    async def export_page(self, caller: Caller, after: Position, limit: int) -> ExportPage:
        """Live memories by creation, then the links between live memories.

        Raises:
            AdminRequiredError: the caller is no admin.
            InvalidInputError: a page of nothing would never end.
        """
        caller.require_admin()
        if limit < 1:
            raise InvalidInputError("limit must be >= 1", fields=["limit"])
        limit = min(limit, EXPORT_PAGE_MAX)
        now = format_instant(self._clock.now())
        if not isinstance(after, LinkPosition):
            rows = await self._store.memories_after(MemoryFilter(now=now), after, limit)
            last = MemoryPosition(rows[-1].created_at, rows[-1].id) if rows else after
            return ExportPage(rows, (), last if len(rows) == limit else LinkPosition("", "", ""))
        links = await self._store.links_after(now, after, limit)
        if len(links) < limit:
            return ExportPage((), links, None)
        return ExportPage(
            (), links, LinkPosition(links[-1].source_id, links[-1].target_id, links[-1].relation)
        )

    async def export(self, caller: Caller) -> AsyncIterator[ExportPage]:
        """All of it, in steps that leave the event loop to others in between."""
        after: Position = None
        while True:
            page = await self.export_page(caller, after, _ROWS_A_STEP)
            yield page
            if page.following is None:
                return
            after = page.following

    # -- import ----------------------------------------------------------------------------

    async def import_all(
        self,
        caller: Caller,
        memories: Sequence[Memory],
        links: Sequence[MemoryLink],
        *,
        trust_source: bool = False,
    ) -> ImportOutcome:
        """Write rows, each alone, then the links between them.

        The caller becomes the owner of every row, unless `trust_source`.

        Raises:
            InvalidInputError: too many rows; said even to who may not import.
            AdminRequiredError: the caller is no admin.
            StoreUnavailableError: nothing more could be written; the same import may be repeated.
        """
        if len(memories) > IMPORT_ROWS_MAX:
            raise InvalidInputError(f"import limited to {IMPORT_ROWS_MAX} memories")
        caller.require_admin()
        limits = None if caller.from_control_socket else self._limits
        outcomes: list[RowOutcome | None] = []
        commands: list[ImportMemory] = []
        restamped = 0
        for number, memory in enumerate(memories):
            if number % _CHECKED_A_STEP == 0:
                await asyncio.sleep(0)
            try:
                row = checked_memory(memory)
            except AiMemoryError as error:
                outcomes.append(RowOutcome("failed", error=error))
                continue
            owned = row if trust_source else _owned(row, caller.agent_id)
            restamped += owned.owner != row.owner
            spare = self._ids.uuid4()
            commands.append(ImportMemory(owned, spare, caller, limits, self._archive_expired))
            outcomes.append(None)
        receipts = iter([_outcome(one) for one in await self._store.submit_all(commands)])
        rows = [next(receipts) if one is None else one for one in outcomes]
        made = await self._import_links(caller, links, _moved(memories, rows), limits)
        return ImportOutcome(rows, restamped, made, len(links) - made)

    async def _import_links(
        self,
        caller: Caller,
        links: Sequence[MemoryLink],
        moved: dict[str, str],
        limits: QuotaLimits | None,
    ) -> int:
        commands: list[ImportLink] = []
        for link in links:
            try:
                checked = checked_link(_between(link, moved))
            except InvalidInputError:
                continue
            commands.append(ImportLink(checked, caller, limits))
        done = await self._store.submit_all(commands)
        return sum(isinstance(one, Receipt) for one in done)


def _owned(row: Memory, owner: str) -> Memory:
    """The row as its importer's; a registration stays the agent's that it names."""
    if row.owner == owner or row.namespace == AGENTS_NAMESPACE:
        return row
    metadata = {**row.metadata, "agent_id": owner}
    if row.owner is not None:
        metadata["imported_from_agent_id"] = row.owner
    return replace(row, metadata=metadata)


def _outcome(done: Receipt[ImportedRow] | Exception) -> RowOutcome:
    if isinstance(done, Receipt):
        row = done.result
        return RowOutcome("imported" if row.is_new else "updated", row.memory_id)
    if isinstance(done, StoreUnavailableError):
        raise done
    if isinstance(done, AiMemoryError):
        return RowOutcome("failed", error=done)
    _LOGGER.error("a row could not be imported", exc_info=done)
    return RowOutcome("failed", error=AiMemoryError("internal error"))


def _moved(memories: Sequence[Memory], rows: Sequence[RowOutcome]) -> dict[str, str]:
    """Old id → new id, of rows that stand under another one now."""
    return {
        memory.id: row.memory_id
        for memory, row in zip(memories, rows, strict=True)
        if row.memory_id is not None and row.memory_id != memory.id
    }


def _between(link: MemoryLink, moved: dict[str, str]) -> MemoryLink:
    source_id = moved.get(link.source_id, link.source_id)
    target_id = moved.get(link.target_id, link.target_id)
    if (source_id, target_id) == (link.source_id, link.target_id):
        return link
    # The signature covers both ids.
    return replace(
        link, source_id=source_id, target_id=target_id, signature=None, attest_level="unsigned"
    )

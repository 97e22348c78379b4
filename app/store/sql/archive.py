"""Reads of the archive: rows moved there by an entry, and rows that only expired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import ColumnElement, and_, func, or_, select, true

from app.domain.memory import ArchivedMemory
from app.store.sql.expressions import has_prefix, json_text
from app.store.sql.filters import REQUEST_OWNER_PREFIX
from app.store.sql.memories import MEMORY_COLUMNS, memory_of
from app.store.sql.selects import Selects
from app.store.tables import archived_memories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.sql.filters import Viewer

_COLUMNS: Final = tuple(archived_memories.c[column.name] for column in MEMORY_COLUMNS)


@dataclass(frozen=True, slots=True)
class ArchivePosition:
    """Where a page ended: when its last row was archived, and its id."""

    archived_at: str
    id: str


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """Some archived rows and how many there are in all."""

    rows: Sequence[ArchivedMemory]
    total: int


@dataclass(frozen=True, slots=True)
class NamespaceCount:
    """How many rows a namespace has."""

    namespace: str
    count: int


class ArchiveReads(Selects):
    """Reads of the archive: rows moved there by an entry, and rows that only expired."""

    async def archived(
        self,
        namespace: str | None,
        limit: int,
        offset: int,
        after: ArchivePosition | None = None,
    ) -> ArchivePage:
        """Newest first."""
        a = archived_memories.c
        chosen = true() if namespace is None else a.namespace == namespace
        statement = (
            select(*_COLUMNS, a.archived_at, a.archive_reason)
            .where(chosen)
            .order_by(a.archived_at.desc(), a.id)
        )
        if after is not None:
            statement = statement.where(
                or_(
                    a.archived_at < after.archived_at,
                    and_(a.archived_at == after.archived_at, a.id > after.id),
                )
            )
        rows = await self.select(statement.limit(limit).offset(offset))
        counted = await self.select(
            select(func.count().label("total")).select_from(archived_memories).where(chosen)
        )
        found = [
            ArchivedMemory(
                memory_of(row), cast("str", row["archived_at"]), cast("str", row["archive_reason"])
            )
            for row in rows
        ]
        return ArchivePage(found, cast("int", counted[0]["total"]))

    async def archived_ids(
        self, viewer: Viewer, before: str | None, limit: int, after: str = ""
    ) -> Sequence[str]:
        """Ids of the viewer's archived rows that left before an instant, those behind `after`."""
        a = archived_memories.c
        parts: list[ColumnElement[bool]] = [a.id > after]
        if before is not None:
            parts.append(a.archived_at < before)
        if not viewer.sees_everything:
            owner = json_text(a.metadata, "agent_id")
            own = [owner == viewer.agent_id]
            if viewer.owns_request_rows:
                own.append(has_prefix(owner, REQUEST_OWNER_PREFIX))
            parts.append(or_(*own))
        rows = await self.select(select(a.id).where(*parts).order_by(a.id).limit(limit))
        return [cast("str", row["id"]) for row in rows]

    async def archive_counts(self) -> Sequence[NamespaceCount]:
        """Archived rows by namespace, most first."""
        a = archived_memories.c
        count = func.count().label("count")
        rows = await self.select(
            select(a.namespace, count).group_by(a.namespace).order_by(count.desc(), a.namespace)
        )
        return [
            NamespaceCount(cast("str", row["namespace"]), cast("int", row["count"])) for row in rows
        ]

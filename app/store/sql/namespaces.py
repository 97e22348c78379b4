"""Reads of namespaces: counts and standards; and of what is said about one topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import func, or_, select

from app.log.projection import StandardBinding
from app.store.sql.expressions import json_text
from app.store.sql.filters import MemoryFilter, conditions
from app.store.sql.memories import MEMORY_COLUMNS, memory_of
from app.store.sql.selects import Selects
from app.store.tables import memories, namespace_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Memory

_COUNT: Final = func.count().label("rows_in")


@dataclass(frozen=True, slots=True)
class NamespaceSize:
    """How many rows a namespace holds."""

    namespace: str
    count: int


class NamespaceReads(Selects):
    """Reads of namespaces."""

    async def namespace_sizes(
        self, chosen: MemoryFilter, limit: int | None = None
    ) -> Sequence[NamespaceSize]:
        """Rows let through by namespace, largest first."""
        statement = (
            select(memories.c.namespace, _COUNT)
            .where(conditions(chosen))
            .group_by(memories.c.namespace)
            .order_by(_COUNT.desc(), memories.c.namespace)
        )
        rows = await self.select(statement if limit is None else statement.limit(limit))
        return [
            NamespaceSize(cast("str", row["namespace"]), cast("int", row["rows_in"]))
            for row in rows
        ]

    async def standards(self, namespaces: Sequence[str]) -> Mapping[str, StandardBinding]:
        """The bindings among `namespaces`."""
        n = namespace_meta.c
        rows = await self.select(
            select(n.namespace, n.standard_id, n.parent_namespace, n.updated_at).where(
                n.namespace.in_(namespaces), n.standard_id.is_not(None)
            )
        )
        found = [
            StandardBinding(
                cast("str", row["namespace"]),
                cast("str", row["standard_id"]),
                cast("str | None", row["parent_namespace"]),
                cast("str", row["updated_at"]),
            )
            for row in rows
        ]
        return {one.namespace: one for one in found}

    async def about_topic(
        self, topic: str | None, chosen: MemoryFilter, limit: int
    ) -> Sequence[Memory]:
        """Rows whose `metadata.topic` or title is the topic; all rows let through without one."""
        m = memories.c
        statement = select(*MEMORY_COLUMNS).where(conditions(chosen))
        if topic is not None:
            statement = statement.where(
                or_(m.title == topic, json_text(m.metadata, "topic") == topic)
            )
        ordered = statement.order_by(m.priority.desc(), m.updated_at.desc(), m.id)
        return [memory_of(row) for row in await self.select(ordered.limit(limit))]

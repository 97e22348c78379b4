"""Counts for operators, and what garbage collection looks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    and_,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy import cast as sql_cast

from app.store.sql.expressions import database_bytes
from app.store.sql.selects import Selects
from app.store.tables import (
    archived_memories,
    memories,
    memory_links,
    memory_vectors,
    namespace_meta,
    pending_actions,
    subscriptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VECTOR_BYTES_PER_DIM = 2  # float16


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows share a value."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts at one moment. `total` counts expired rows that still wait for collection, too."""

    total: int
    live: int
    expiring_soon: int
    by_tier: Sequence[Counted]
    by_namespace: Sequence[Counted]
    links: int
    database_bytes: int
    misshapen_vectors: int
    without_vector: int

    @property
    def expired(self) -> int:
        """Rows that only wait for collection."""
        return self.total - self.live


@dataclass(frozen=True, slots=True)
class Activity:
    """The few counts that a scrape and the capabilities show."""

    memories: int
    subscriptions: int
    pending: int


@dataclass(frozen=True, slots=True)
class Dangling:
    """A namespace whose standard is no live memory."""

    namespace: str
    standard_id: str


class StatisticsReads(Selects):
    """Counts for operators, and what garbage collection looks for."""

    async def statistics(self, now: str, soon: str, model: str | None) -> Statistics:
        """All counts; `soon` ends what counts as expiring soon.

        `model` names the vectors that count; None takes those of any model.
        """
        m = memories.c
        current = or_(m.expires_at.is_(None), m.expires_at > now)
        counts = await self._one(
            select(
                func.count().label("total"),
                _how_many(current).label("live"),
                _how_many(and_(m.expires_at > now, m.expires_at <= soon)).label("expiring_soon"),
                _how_many(and_(current, not_(_has_vector(model)))).label("without_vector"),
            ).select_from(memories),
        )
        others = await self._one(
            select(
                _count_of(select(func.count()).select_from(memory_links)).label("links"),
                _count_of(select(func.count()).where(_is_misshapen())).label("misshapen"),
                database_bytes().label("bytes"),
            ),
        )
        return Statistics(
            total=counts["total"],
            live=counts["live"],
            expiring_soon=counts["expiring_soon"],
            by_tier=await self._by(m.tier),
            by_namespace=await self._by(m.namespace),
            links=others["links"],
            database_bytes=others["bytes"],
            misshapen_vectors=others["misshapen"],
            without_vector=counts["without_vector"],
        )

    async def activity(self) -> Activity:
        """Cheap counts."""
        pending = select(func.count()).where(pending_actions.c.status == "pending")
        counts = await self._one(
            select(
                _count_of(select(func.count()).select_from(memories)).label("memories"),
                _count_of(select(func.count()).select_from(subscriptions)).label("subscriptions"),
                _count_of(pending).label("pending"),
            ),
        )
        return Activity(counts["memories"], counts["subscriptions"], counts["pending"])

    async def archived_before(self, instant: str, limit: int) -> Sequence[str]:
        """Ids of rows that the archive has held since before `instant`, oldest first."""
        a = archived_memories.c
        rows = await self.select(
            select(a.id).where(a.archived_at < instant).order_by(a.archived_at, a.id).limit(limit),
        )
        return [cast("str", row["id"]) for row in rows]

    async def dangling_standards(self, limit: int) -> Sequence[Dangling]:
        """Namespaces whose standard is not in the live table."""
        n = namespace_meta.c
        held = exists().where(memories.c.id == n.standard_id)
        rows = await self.select(
            select(n.namespace, n.standard_id)
            .where(n.standard_id.is_not(None), not_(held))
            .order_by(n.namespace)
            .limit(limit),
        )
        return [
            Dangling(cast("str", row["namespace"]), cast("str", row["standard_id"])) for row in rows
        ]

    async def _by(self, column: ColumnElement[str]) -> Sequence[Counted]:
        count = func.count().label("count")
        rows = await self.select(
            select(column.label("name"), count)
            .select_from(memories)
            .group_by(column)
            .order_by(count.desc(), column),
        )
        return [Counted(cast("str", row["name"]), cast("int", row["count"])) for row in rows]

    async def _one(self, statement: Select[*tuple[object, ...]]) -> Mapping[str, int]:
        return cast("Mapping[str, int]", (await self.select(statement))[0])


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(sql_cast(condition, Integer)), literal(0))


def _count_of(statement: Select[*tuple[int]]) -> ColumnElement[int]:
    return statement.scalar_subquery()


def _has_vector(model: str | None) -> ColumnElement[bool]:
    found = exists().where(memory_vectors.c.memory_id == memories.c.id)
    return found if model is None else found.where(memory_vectors.c.model == model)


def _is_misshapen() -> ColumnElement[bool]:
    v = memory_vectors.c
    return func.length(v.vector) != v.dim * _VECTOR_BYTES_PER_DIM

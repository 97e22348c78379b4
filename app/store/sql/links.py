"""Reads of links and the knowledge graph.

`memory_links` may hold links whose ends are not live here, so every read joins `memories` on the
far end; the near end is a row that the caller of these methods has already been shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from app.store.sql.expressions import has_tag
from app.store.sql.filters import MemoryFilter, conditions
from app.store.sql.link_rows import LINK_COLUMNS, link_of
from app.store.sql.selects import Selects
from app.store.tables import entity_aliases, memories, memory_links

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import MemoryLink
    from app.store.sql.selects import Record

GraphBackend = Literal["age", "cte"]
"""What walks the graph: Apache AGE, or queries of the tables."""

_IDS_PER_SELECT: Final = 2_000
"""Well below the number of parameters that either driver takes."""

_L: Final = memory_links.c
_SINCE: Final = func.coalesce(_L.valid_from, _L.created_at)
_OLDEST_FIRST: Final = (_SINCE, _L.created_at, _L.source_id, _L.target_id, _L.relation)


@dataclass(frozen=True, slots=True)
class LinkFilter:
    """Conditions on links, all of which must hold; None is no condition.

    `open_at` wants links that are valid at that time, `not_ended_by` only those that did not end
    by then. `since` and `until` bound the beginning of validity. Times are canonical text.
    """

    relations: Sequence[str] | None = None
    observers: Sequence[str] | None = None
    open_at: str | None = None
    not_ended_by: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class LinkedMemory:
    """A link, with the title and namespace of the memory at its far end."""

    link: MemoryLink
    title: str
    namespace: str


class Edge(NamedTuple):
    """Two linked memories, whatever the link's direction and relation."""

    near: str
    far: str


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """An entity that an alias names."""

    entity_id: str
    canonical_name: str
    namespace: str


class LinkReads(Selects):
    """Reads of links, neighbours and entities."""

    async def links_between(self, source_id: str, target_id: str) -> Sequence[MemoryLink]:
        """Every link from one memory to another, oldest first, whoever may see them."""
        rows = await self.select(
            select(*LINK_COLUMNS)
            .where(_L.source_id == source_id, _L.target_id == target_id)
            .order_by(*_OLDEST_FIRST)
        )
        return [link_of(row) for row in rows]

    async def links_among(self, ids: Sequence[str], relation: str) -> Sequence[MemoryLink]:
        """Links of one relation with both ends among `ids`."""
        wanted = frozenset(ids)
        found: list[MemoryLink] = []
        for part in _parts(ids):
            rows = await self.select(
                select(*LINK_COLUMNS)
                .where(_L.source_id.in_(part), _L.relation == relation)
                .order_by(*_OLDEST_FIRST)
            )
            found.extend(one for one in map(link_of, rows) if one.target_id in wanted)
        return found

    async def outbound(
        self,
        sources: Sequence[str],
        links: LinkFilter,
        chosen: MemoryFilter,
        limit: int,
        offset: int = 0,
    ) -> Sequence[LinkedMemory]:
        """Links from any of `sources` (10,000 at most) to memories let through, oldest first."""
        rows = await self.select(outbound_links(sources, links, chosen, limit, offset))
        return [linked_memory_of(row) for row in rows]

    async def neighbours(
        self, ids: Sequence[str], links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[Edge]:
        """Who is linked with `ids`, in either direction, among memories let through."""
        found: list[Edge] = []
        for near, far in ((_L.source_id, _L.target_id), (_L.target_id, _L.source_id)):
            for part in _parts(ids):
                rows = await self.select(
                    select(near.label("near"), far.label("far"))
                    .join(memories, memories.c.id == far)
                    .where(near.in_(part), _link_conditions(links), conditions(chosen))
                )
                found.extend(
                    Edge(cast("str", row["near"]), cast("str", row["far"])) for row in rows
                )
        return found

    @property
    def graph_backend(self) -> GraphBackend | None:
        """What the store has to walk its graph with; None where there is never a choice."""
        return None

    @property
    def graph_reason(self) -> str | None:
        """Why queries of the tables do it where Apache AGE could; None where there is no why."""
        return None

    async def follow_graph(self) -> None:
        """Bring an index of the graph up to date, where there is a choice of `graph_backend`."""

    async def links_within(
        self, source_id: str, depth: int, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[LinkedMemory] | None:
        """At least every link on outbound ways of up to `depth` links, oldest first.

        None where the tables are the better way, or the only one: walk by `outbound` then.
        """
        del source_id, depth, links, chosen
        return None

    async def paths_between(
        self, source_id: str, target_id: str, depth: int, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[Sequence[str]] | None:
        """Simple paths of up to `depth` links in any direction, shortest first, then by their ids.

        None where the tables are the better way, or the only one: search by `neighbours` then.
        """
        del source_id, target_id, depth, links, chosen
        return None

    async def reached(self, sources: Sequence[str], relation: str) -> Sequence[str]:
        """Where links of one relation lead from `sources` in one step, whoever may see it."""
        found: dict[str, None] = {}
        for part in _parts(sources):
            rows = await self.select(
                select(_L.target_id).where(_L.source_id.in_(part), _L.relation == relation)
            )
            found.update((cast("str", row["target_id"]), None) for row in rows)
        return list(found)

    async def aliases_of(self, entity_id: str) -> Sequence[str]:
        """An entity's names, by creation, then by alphabet."""
        rows = await self.select(
            select(entity_aliases.c.alias)
            .where(entity_aliases.c.entity_id == entity_id)
            .order_by(entity_aliases.c.created_at, entity_aliases.c.alias)
        )
        return [cast("str", row["alias"]) for row in rows]

    async def entity_by_alias(self, alias: str, chosen: MemoryFilter) -> FoundEntity | None:
        """The newest entity let through that has this exact name."""
        m = memories.c
        rows = await self.select(
            select(m.id, m.title, m.namespace)
            .join(entity_aliases, entity_aliases.c.entity_id == m.id)
            .where(entity_aliases.c.alias == alias, has_tag(m.tags, "entity"), conditions(chosen))
            .order_by(m.created_at.desc(), m.id)
            .limit(1)
        )
        if not rows:
            return None
        row = rows[0]
        return FoundEntity(
            cast("str", row["id"]), cast("str", row["title"]), cast("str", row["namespace"])
        )


def outbound_links(
    sources: Sequence[str], links: LinkFilter, chosen: MemoryFilter, limit: int, offset: int = 0
) -> Select[*tuple[object, ...]]:
    """See `LinkReads.outbound`; rows are for `linked_memory_of`."""
    return (
        select(*LINK_COLUMNS, memories.c.title, memories.c.namespace)
        .join(memories, memories.c.id == _L.target_id)
        .where(_L.source_id.in_(sources), _link_conditions(links), conditions(chosen))
        .order_by(*_OLDEST_FIRST)
        .limit(limit)
        .offset(offset)
    )


def links_inside(
    ids: Sequence[str], links: LinkFilter, chosen: MemoryFilter
) -> Select[*tuple[object, ...]]:
    """`source_id` and `target_id` of links with both ends among `ids` and let through."""
    shown = select(memories.c.id).where(memories.c.id.in_(ids), conditions(chosen)).cte("shown")
    ends = select(shown.c.id)
    return select(_L.source_id, _L.target_id).where(
        _L.source_id.in_(ends), _L.target_id.in_(ends), _link_conditions(links)
    )


def linked_memory_of(row: Record) -> LinkedMemory:
    """A row of `outbound_links`."""
    return LinkedMemory(link_of(row), cast("str", row["title"]), cast("str", row["namespace"]))


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_PER_SELECT] for start in range(0, len(ids), _IDS_PER_SELECT)]


def _link_conditions(links: LinkFilter) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = [_L.source_id != _L.target_id]
    if links.relations is not None:
        parts.append(_L.relation.in_(links.relations))
    if links.observers is not None:
        parts.append(_L.observed_by.in_(links.observers))
    ended_by = links.open_at if links.open_at is not None else links.not_ended_by
    if ended_by is not None:
        parts.append(or_(_L.valid_until.is_(None), _L.valid_until > ended_by))
    if links.open_at is not None:
        parts.append(links.open_at >= _SINCE)
    if links.since is not None:
        parts.append(links.since <= _SINCE)
    if links.until is not None:
        parts.append(links.until >= _SINCE)
    return and_(*parts)

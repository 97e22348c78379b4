"""Reads of live memories: by id, by prefix, in list order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec
from sqlalchemy import (
    BigInteger,
    Select,
    Text,
    and_,
    func,
    literal,
    or_,
    select,
    union_all,
)

from app.domain.errors import AmbiguousIdError
from app.domain.memory import Json, Memory, MemoryLink
from app.domain.ranking import Candidate
from app.domain.timestamps import parse_instant
from app.store.sql.expressions import has_tag
from app.store.sql.filters import MemoryFilter, conditions
from app.store.sql.known import Known, value
from app.store.sql.link_rows import LINK_COLUMNS, link_of
from app.store.sql.selects import Selects
from app.store.tables import memories, memory_links, namespace_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.store.sql.selects import Record

_PREFIX_MATCHES_SHOWN_MAX: Final = 20

MEMORY_COLUMNS: Final = tuple(
    memories.c[name]
    for name in (
        "id",
        "tier",
        "namespace",
        "title",
        "content",
        "tags",
        "priority",
        "confidence",
        "source",
        "access_count",
        "created_at",
        "updated_at",
        "last_accessed_at",
        "expires_at",
        "metadata",
        "reflection_depth",
        "memory_kind",
        "entity_id",
        "persona_version",
        "citations",
        "source_uri",
        "source_span",
        "confidence_source",
        "confidence_signals",
        "confidence_decayed_at",
        "version",
    )
)


def memory_of(record: Record) -> Memory:
    """A row of `memories` (or of the archive, whose later columns may be NULL) as a memory."""
    text, number = cast("Mapping[str, str]", record), cast("Mapping[str, int]", record)
    optional = cast("Mapping[str, str | None]", record)
    return Memory(
        id=text["id"],
        tier=text["tier"],
        namespace=text["namespace"],
        title=text["title"],
        content=text["content"],
        tags=tuple(cast("list[str]", _json(record["tags"], []))),
        priority=number["priority"],
        confidence=float(number["confidence"]),
        source=text["source"],
        access_count=number["access_count"],
        created_at=text["created_at"],
        updated_at=text["updated_at"],
        last_accessed_at=optional["last_accessed_at"],
        expires_at=optional["expires_at"],
        metadata=cast("dict[str, Json]", _json(record["metadata"], {})),
        reflection_depth=number["reflection_depth"] or 0,
        memory_kind=text["memory_kind"] or "observation",
        entity_id=optional["entity_id"],
        persona_version=cast("int | None", record["persona_version"]),
        citations=tuple(cast("list[Json]", _json(record["citations"], []))),
        source_uri=optional["source_uri"],
        source_span=_json(record["source_span"], None),
        confidence_source=text["confidence_source"] or "caller_provided",
        confidence_signals=_json(record["confidence_signals"], None),
        confidence_decayed_at=optional["confidence_decayed_at"],
        version=number["version"] or 1,
    )


def _json(value: object, absent: Json) -> Json:
    if value is None or value == "":
        return absent
    return cast("Json", msgspec.json.decode(cast("str", value)))


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows and how many there are in all."""

    memories: Sequence[Memory]
    total: int


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Where a page of a list ended: the order's own columns of its last row."""

    priority: int
    updated_at: str
    id: str


RANKED_NAMES: Final = (
    "id",
    "tier",
    "namespace",
    "priority",
    "access_count",
    "confidence",
    "created_at",
    "updated_at",
)
"""What ranking reads of a row, beside `content_bytes`."""

_RANKED_COLUMNS: Final = (
    *(memories.c[name] for name in RANKED_NAMES),
    func.octet_length(memories.c.content).label("content_bytes"),
)


_IS_ASKED: Final = memories.c.id == value("id", Text)


def _one(chosen: MemoryFilter) -> Select[*tuple[object, ...]]:
    return select(*MEMORY_COLUMNS).where(_IS_ASKED, conditions(chosen))


def _id(chosen: MemoryFilter) -> Select[*tuple[object, ...]]:
    return select(memories.c.id).where(_IS_ASKED, conditions(chosen))


def _count(chosen: MemoryFilter) -> Select[*tuple[object, ...]]:
    return select(func.count().label("total")).select_from(memories).where(conditions(chosen))


def _page(chosen: MemoryFilter) -> Select[*tuple[object, ...]]:
    m = memories.c
    return (
        select(*MEMORY_COLUMNS)
        .where(conditions(chosen))
        .order_by(m.priority.desc(), m.updated_at.desc(), m.id)
        .limit(value("limit", BigInteger))
        .offset(value("offset", BigInteger))
    )


def _page_after(chosen: MemoryFilter) -> Select[*tuple[object, ...]]:
    m = memories.c
    priority = value("after_priority", m.priority.type)
    updated_at = value("after_updated_at", m.updated_at.type)
    same_priority = m.priority == priority
    return _page(chosen).where(
        or_(
            m.priority < priority,
            and_(same_priority, m.updated_at < updated_at),
            and_(same_priority, m.updated_at == updated_at, m.id > value("after_id", Text)),
        )
    )


def _links_around(chosen: MemoryFilter) -> Select[*tuple[object, ...]]:
    near, far = memory_links.c.source_id, memory_links.c.target_id
    halves = (
        select(*LINK_COLUMNS, literal(number).label("half"))
        .join(memories, memories.c.id == there)
        .where(here == value("id", Text), conditions(chosen))
        for number, (here, there) in enumerate(((near, far), (far, near)))
    )
    found = union_all(*halves).subquery()
    c = found.c
    return select(found).order_by(c.half, c.created_at, c.source_id, c.target_id, c.relation)


_ONE: Final = Known(_one)
_ID: Final = Known(_id)
_COUNT: Final = Known(_count)
_PAGE: Final = Known(_page)
_PAGE_AFTER: Final = Known(_page_after)
_LINKS_AROUND: Final = Known(_links_around)


class MemoryReads(Selects):
    """Reads of the live table."""

    async def get(self, memory_id: str, chosen: MemoryFilter) -> Memory | None:
        """One memory by its exact id, if the filter lets it through."""
        found = await self.ask(_ONE, chosen, id=memory_id)
        return memory_of(found[0]) if found else None

    async def get_many(self, ids: Sequence[str], chosen: MemoryFilter) -> Sequence[Memory]:
        """The memories among `ids` that the filter lets through, in the order of `ids`."""
        if not ids:
            return ()
        rows = await self.select(
            select(*MEMORY_COLUMNS).where(memories.c.id.in_(ids), conditions(chosen)),
        )
        by_id = {memory.id: memory for memory in map(memory_of, rows)}
        return [by_id[one] for one in dict.fromkeys(ids) if one in by_id]

    async def resolve_id(self, reference: str, chosen: MemoryFilter) -> str | None:
        """The id that `reference` is, or that alone starts with it, among rows let through.

        Raises:
            AmbiguousIdError: several ids start with it.
        """
        if await self.ask(_ID, chosen, id=reference):
            return reference
        # A range, not LIKE, so that the primary key serves it.
        matches = await self.select(
            select(memories.c.id)
            .where(
                memories.c.id > reference,
                memories.c.id < reference + "\U0010ffff",
                conditions(chosen),
            )
            .order_by(memories.c.id)
            .limit(_PREFIX_MATCHES_SHOWN_MAX + 1),
        )
        if len(matches) <= 1:
            return cast("str", matches[0]["id"]) if matches else None
        shown = [cast("str", row["id"]) for row in matches[:_PREFIX_MATCHES_SHOWN_MAX]]
        listing = "\n".join(shown)
        message = f"ambiguous ID prefix '{reference}': {len(matches)} matches\n{listing}"
        raise AmbiguousIdError(message)

    async def list_memories(
        self, chosen: MemoryFilter, limit: int, offset: int, after: ListPosition | None = None
    ) -> Page:
        """Priority, then recency, both descending (http-api 3.2); `total` counts from the start."""
        if after is None:
            rows = await self.ask(_PAGE, chosen, limit=limit, offset=offset)
        else:
            rows = await self.ask(
                _PAGE_AFTER,
                chosen,
                limit=limit,
                offset=offset,
                after_priority=after.priority,
                after_updated_at=after.updated_at,
                after_id=after.id,
            )
        counted = await self.ask(_COUNT, chosen)
        return Page([memory_of(row) for row in rows], cast("int", counted[0]["total"]))

    async def oldest_first(self, chosen: MemoryFilter, limit: int, offset: int) -> Page:
        """By creation, oldest first: exports and look-ups by source."""
        statement = (
            select(*MEMORY_COLUMNS)
            .where(conditions(chosen))
            .order_by(memories.c.created_at, memories.c.id)
        )
        rows = await self.select(statement.limit(limit).offset(offset))
        counted = await self.ask(_COUNT, chosen)
        return Page([memory_of(row) for row in rows], cast("int", counted[0]["total"]))

    async def holds_tag(self, tag: str, chosen: MemoryFilter) -> bool:
        """Whether a row that the filter lets through has exactly this tag."""
        found = await self.select(
            select(memories.c.id).where(has_tag(memories.c.tags, tag), conditions(chosen)).limit(1),
        )
        return bool(found)

    async def candidates(self, ids: Sequence[str]) -> Sequence[Candidate]:
        """What ranking needs of those of `ids` that exist, in any order, without leg scores."""
        if not ids:
            return ()
        return [candidate_of(row) for row in await self.select(candidates_select(ids))]

    async def ids_of(self, chosen: MemoryFilter, limit: int, after: str = "") -> Sequence[str]:
        """Ids that the filter lets through, in their own order, those behind `after`."""
        rows = await self.select(
            select(memories.c.id)
            .where(memories.c.id > after, conditions(chosen))
            .order_by(memories.c.id)
            .limit(limit),
        )
        return [cast("str", row["id"]) for row in rows]

    async def namespaces_led_by(self, ids: Sequence[str]) -> Sequence[str]:
        """Namespaces whose standard is one of `ids`."""
        rows = await self.select(
            select(namespace_meta.c.namespace).where(namespace_meta.c.standard_id.in_(ids)),
        )
        return [cast("str", row["namespace"]) for row in rows]

    async def links_around(self, memory_id: str, chosen: MemoryFilter) -> Sequence[MemoryLink]:
        """Links from and to a memory, those whose other end the filter lets through."""
        return [link_of(row) for row in await self.ask(_LINKS_AROUND, chosen, id=memory_id)]

    async def latest_attest_levels(self, ids: Sequence[str]) -> Mapping[str, str]:
        """How the newest link at each of `ids` is attested, for those that have a link."""
        if not ids:
            return {}
        near, far = memory_links.c.source_id, memory_links.c.target_id
        rows = await self.select(
            select(near, far, memory_links.c.attest_level)
            .where(or_(near.in_(ids), far.in_(ids)))
            .order_by(memory_links.c.created_at),
        )
        found: dict[str, str] = {}
        for row in rows:
            level = cast("str", row["attest_level"] or "unsigned")
            found[cast("str", row["source_id"])] = level
            found[cast("str", row["target_id"])] = level
        return found


def candidates_select(ids: Sequence[str]) -> Select[*tuple[object, ...]]:
    """Ranking's columns of given rows."""
    return select(*_RANKED_COLUMNS).where(memories.c.id.in_(ids))


def candidate_of(
    record: Record,
    *,
    text_score: float | None = None,
    cosine: float | None = None,
    coverage: float | None = None,
) -> Candidate:
    """A row of `candidates_select`, with what the legs say of it."""
    text, number = cast("Mapping[str, str]", record), cast("Mapping[str, int]", record)
    return Candidate(
        id=text["id"],
        tier=text["tier"],
        namespace=text["namespace"],
        priority=number["priority"],
        access_count=number["access_count"],
        confidence=float(number["confidence"]),
        created_at=parse_instant(text["created_at"]),
        updated_at=parse_instant(text["updated_at"]),
        content_bytes=number["content_bytes"],
        text_score=text_score,
        cosine=cosine,
        coverage=coverage,
    )

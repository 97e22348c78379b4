"""Reads of the node's own records, of inboxes, and of everything in pages for an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, or_, select

from app.store.sql.filters import MemoryFilter, conditions
from app.store.sql.link_rows import LINK_COLUMNS, link_of
from app.store.sql.memories import MEMORY_COLUMNS, Page, memory_of
from app.store.sql.selects import Selects
from app.store.tables import (
    agent_quotas,
    idempotency_keys,
    memories,
    memory_links,
    memory_vectors,
    subscriptions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.store.sql.selects import Record


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook as it is registered; `event_types`, when given, counts instead of `events`."""

    id: str
    url: str
    events: str
    secret_hash: str | None
    namespace_filter: str | None
    agent_filter: str | None
    created_by: str | None
    created_at: str
    event_types: tuple[str, ...] | None = None
    last_dispatched_at: str | None = None
    dispatch_count: int = 0
    failure_count: int = 0


@dataclass(frozen=True, slots=True)
class QuotaCounters:
    """What an agent has used in a namespace (`_global` is the sum), and its caps."""

    agent_id: str
    namespace: str
    max_memories_per_day: int
    max_storage_bytes: int
    max_links_per_day: int
    current_memories_today: int
    current_storage_bytes: int
    current_links_today: int
    day_started_at: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class MemoryPosition:
    """The place after one memory in the order of creation."""

    created_at: str
    memory_id: str


@dataclass(frozen=True, slots=True)
class LinkPosition:
    """The place after one link in the order of its key."""

    source_id: str
    target_id: str
    relation: str


@dataclass(frozen=True, slots=True)
class VectorCounts:
    """How many memories there are, and how many have a vector of any model."""

    memories: int
    with_vector: int


@dataclass(frozen=True, slots=True)
class InboxQuery:
    """Messages of an inbox; `since` is canonical text, inclusive."""

    namespaces: Sequence[str]
    now: str
    unread_only: bool = False
    since: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyRow:
    """What a request with a key wrote: its last entry and first entity, and what it was answered.

    `status` and `answer` are None until whoever answers has put them there.
    """

    key: str
    actor: str
    fingerprint: bytes
    status: int | None
    answer: bytes | None
    origin: str
    seq: int
    entity_id: str | None
    expires_at: str


_QUOTA_COLUMNS: Final = tuple(agent_quotas.c[name] for name in QuotaCounters.__dataclass_fields__)


class RecordReads(Selects):
    """Subscriptions, quotas, requests' keys, inboxes, pages, and what waits for a vector."""

    async def subscription(self, subscription_id: str) -> Subscription | None:
        """One subscription, whoever made it."""
        rows = await self.select(
            select(*subscriptions.c).where(subscriptions.c.id == subscription_id)
        )
        return _subscription(rows[0]) if rows else None

    async def subscriptions_of(self, created_by: str) -> Sequence[Subscription]:
        """What one agent registered, oldest first."""
        rows = await self.select(
            select(*subscriptions.c)
            .where(subscriptions.c.created_by == created_by)
            .order_by(subscriptions.c.created_at, subscriptions.c.id)
        )
        return [_subscription(row) for row in rows]

    async def quota(self, agent_id: str, namespace: str) -> QuotaCounters | None:
        """The counters of one agent in one namespace, if it ever wrote there."""
        rows = await self.select(
            select(*_QUOTA_COLUMNS).where(
                agent_quotas.c.agent_id == agent_id, agent_quotas.c.namespace == namespace
            )
        )
        return _quota(rows[0]) if rows else None

    async def quotas(self, namespace: str | None) -> Sequence[QuotaCounters]:
        """Everybody's counters, of one namespace or of all."""
        statement = select(*_QUOTA_COLUMNS).order_by(
            agent_quotas.c.agent_id, agent_quotas.c.namespace
        )
        if namespace is not None:
            statement = statement.where(agent_quotas.c.namespace == namespace)
        return [_quota(row) for row in await self.select(statement)]

    async def idempotency_row(self, key: str, actor: str) -> IdempotencyRow | None:
        """What was written under a request's key, also if it has expired."""
        rows = await self.select(
            select(*idempotency_keys.c).where(
                idempotency_keys.c.key == key, idempotency_keys.c.actor == actor
            )
        )
        return _idempotency(rows[0]) if rows else None

    async def expired_keys(self, now: str, limit: int) -> Sequence[tuple[str, str]]:
        """Some (key, actor) that no request needs any more, the oldest first."""
        expires_at = idempotency_keys.c.expires_at
        rows = await self.select(
            select(idempotency_keys.c.key, idempotency_keys.c.actor)
            .where(expires_at <= now)
            .order_by(expires_at)
            .limit(limit)
        )
        return [(cast("str", row["key"]), cast("str", row["actor"])) for row in rows]

    async def inbox(self, query: InboxQuery, limit: int, offset: int) -> Page:
        """Messages by priority, then recency, both descending."""
        chosen = MemoryFilter(now=query.now, namespaces=query.namespaces, since=query.since)
        wanted = conditions(chosen)
        if query.unread_only:
            wanted = and_(wanted, memories.c.access_count == 0)
        rows = await self.select(
            select(*MEMORY_COLUMNS)
            .where(wanted)
            .order_by(
                memories.c.priority.desc(), memories.c.created_at.desc(), memories.c.id.desc()
            )
            .limit(limit)
            .offset(offset)
        )
        counted = await self.select(
            select(func.count().label("total")).select_from(memories).where(wanted)
        )
        return Page([memory_of(row) for row in rows], cast("int", counted[0]["total"]))

    async def memories_after(
        self, chosen: MemoryFilter, after: MemoryPosition | None, limit: int
    ) -> Sequence[Memory]:
        """The next memories in the order of creation; each page costs the same."""
        place = memories.c.created_at, memories.c.id
        statement = select(*MEMORY_COLUMNS).where(conditions(chosen)).order_by(*place).limit(limit)
        if after is not None:
            statement = statement.where(
                or_(
                    place[0] > after.created_at,
                    and_(place[0] == after.created_at, place[1] > after.memory_id),
                ),
                # Says again what the line above implies, so that an index is entered here.
                place[0] >= after.created_at,
            )
        return [memory_of(row) for row in await self.select(statement)]

    async def links_after(
        self, now: str, after: LinkPosition | None, limit: int
    ) -> Sequence[MemoryLink]:
        """The next links, by source, target and relation, of those whose ends are both live."""
        source, target, relation = (
            memory_links.c.source_id,
            memory_links.c.target_id,
            memory_links.c.relation,
        )
        statement = (
            select(*LINK_COLUMNS)
            .where(_end_is_live(source, now), _end_is_live(target, now))
            .order_by(source, target, relation)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(
                source >= after.source_id,
                or_(
                    source > after.source_id,
                    target > after.target_id,
                    and_(target == after.target_id, relation > after.relation),
                ),
            )
        return [link_of(row) for row in await self.select(statement)]

    async def unembedded_count(self, model: str, now: str) -> int:
        """Live memories without a vector of `model`; a stale vector is dropped by the write."""
        vector = select(memory_vectors.c.memory_id).where(
            memory_vectors.c.memory_id == memories.c.id, memory_vectors.c.model == model
        )
        rows = await self.select(
            select(func.count().label("total"))
            .select_from(memories)
            .where(conditions(MemoryFilter(now=now)), ~vector.exists())
        )
        return cast("int", rows[0]["total"])

    async def vector_counts(self, chosen: MemoryFilter) -> VectorCounts:
        """Counts over the memories that the filter lets through."""
        vector = select(memory_vectors.c.memory_id).where(
            memory_vectors.c.memory_id == memories.c.id
        )
        rows = await self.select(
            select(
                func.count().label("total"),
                func.count(case((vector.exists(), 1))).label("with_vector"),
            )
            .select_from(memories)
            .where(conditions(chosen))
        )
        return VectorCounts(cast("int", rows[0]["total"]), cast("int", rows[0]["with_vector"]))


def _end_is_live(end: ColumnElement[str], now: str) -> ColumnElement[bool]:
    live = conditions(MemoryFilter(now=now))
    return select(memories.c.id).where(memories.c.id == end, live).exists()


def _subscription(record: Record) -> Subscription:
    text, number = cast("Mapping[str, str]", record), cast("Mapping[str, int]", record)
    optional = cast("Mapping[str, str | None]", record)
    event_types = optional["event_types"]
    return Subscription(
        id=text["id"],
        url=text["url"],
        events=text["events"],
        secret_hash=optional["secret_hash"],
        namespace_filter=optional["namespace_filter"],
        agent_filter=optional["agent_filter"],
        created_by=optional["created_by"],
        created_at=text["created_at"],
        event_types=(
            msgspec.json.decode(event_types, type=tuple[str, ...]) if event_types else None
        ),
        last_dispatched_at=optional["last_dispatched_at"],
        dispatch_count=number["dispatch_count"],
        failure_count=number["failure_count"],
    )


def _quota(record: Record) -> QuotaCounters:
    return QuotaCounters(**{column.name: record[column.name] for column in _QUOTA_COLUMNS})  # type: ignore[arg-type]  # columns named like the fields


def _idempotency(record: Record) -> IdempotencyRow:
    return IdempotencyRow(**{column.name: record[column.name] for column in idempotency_keys.c})  # type: ignore[arg-type]  # columns named like the fields

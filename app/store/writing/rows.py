"""Where a state shows: which table, and the row it has there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from app.log.state import ARCHIVED, LIVE

if TYPE_CHECKING:
    from app.domain.memory import Memory
    from app.log.projection import Snapshot
    from app.store.sql.selects import SqlValue

_MENTION: Final = re.compile(r"\[entity:([^\]]+)\]")
_JSON: Final = msgspec.json.Encoder()

INDEXED_COLUMNS: Final = ("title", "content", "tags")
"""What the full-text index holds; an update that leaves them alone leaves it alone."""

PLAIN_COLUMNS: Final = (
    "tier",
    "namespace",
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
    "atomised_into",
    "atom_of",
    "entity_id",
    "persona_version",
    "citations",
    "source_uri",
    "source_span",
    "confidence_source",
    "confidence_signals",
    "confidence_decayed_at",
    "mentioned_entity_id",
    "version",
)
TOUCHED_COLUMNS: Final = ("access_count", "last_accessed_at", "expires_at")
"""What a recall leaves behind: an update of these alone rewrites one index instead of twenty."""

ARCHIVE_COLUMNS: Final = (
    "archived_at",
    "archive_reason",
    "original_tier",
    "original_expires_at",
)


def lives_in(found: Snapshot | None, *, collected: bool) -> str | None:
    """`memories`, `archived_memories`, or None for a row that shows nowhere.

    `collected`: this node moved the expired row out; the state still says live.
    """
    if found is None:
        return None
    if found.life == LIVE:
        return "archived_memories" if collected else "memories"
    return "archived_memories" if found.life == ARCHIVED else None


def indexed_values(memory: Memory) -> tuple[SqlValue, ...]:
    """The values of `INDEXED_COLUMNS`."""
    return memory.title, memory.content, json_text(memory.tags) if memory.tags else "[]"


def plain_values(found: Snapshot) -> tuple[SqlValue, ...]:
    """The values of `PLAIN_COLUMNS`."""
    memory = found.memory
    return (
        memory.tier,
        memory.namespace,
        memory.priority,
        memory.confidence,
        memory.source,
        memory.access_count,
        memory.created_at,
        memory.updated_at,
        memory.last_accessed_at,
        memory.expires_at,
        json_text(memory.metadata),
        memory.reflection_depth,
        memory.memory_kind,
        found.atomised_into,
        found.atom_of,
        memory.entity_id,
        memory.persona_version,
        json_text(memory.citations) if memory.citations else "[]",
        memory.source_uri,
        None if memory.source_span is None else json_text(memory.source_span),
        memory.confidence_source,
        None if memory.confidence_signals is None else json_text(memory.confidence_signals),
        memory.confidence_decayed_at,
        _mentioned(memory),
        memory.version,
    )


def touched_values(memory: Memory) -> tuple[SqlValue, ...]:
    """The values of `TOUCHED_COLUMNS`."""
    return memory.access_count, memory.last_accessed_at, memory.expires_at


def archive_values(found: Snapshot) -> tuple[SqlValue, ...]:
    """The values of `ARCHIVE_COLUMNS`; an expired row left when it expired."""
    memory = found.memory
    if found.life == ARCHIVED:
        at, reason = found.life_at or memory.updated_at, found.life_reason or "archive"
    else:
        at, reason = memory.expires_at or memory.updated_at, "ttl_expired"
    return at, reason, memory.tier, memory.expires_at


def json_text(value: object) -> str:
    """A document as it is stored."""
    return _JSON.encode(value).decode()


def _mentioned(memory: Memory) -> str | None:
    named = memory.metadata.get("entity_id")
    if isinstance(named, str) and named:
        return named
    match = _MENTION.search(memory.title) if "[entity:" in memory.title else None
    return match.group(1) if match else None

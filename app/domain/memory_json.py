"""A memory as JSON, the same in answers, exports and on v0.7.0's wire (http-api 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.domain.memory import Json, Memory


def memory_json(memory: Memory) -> dict[str, Json]:
    """The 26 fields; optional ones are left out when unset, never null."""
    body: dict[str, Json] = {
        "id": memory.id,
        "tier": memory.tier,
        "namespace": memory.namespace,
        "title": memory.title,
        "content": memory.content,
        "tags": [*memory.tags],
        "priority": memory.priority,
        "confidence": memory.confidence,
        "source": memory.source,
        "access_count": memory.access_count,
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
        "metadata": dict(memory.metadata),
        "reflection_depth": memory.reflection_depth,
        "memory_kind": memory.memory_kind,
        "citations": list(memory.citations),
        "confidence_source": memory.confidence_source,
        "version": memory.version,
    }
    optional: dict[str, Json] = {
        "last_accessed_at": memory.last_accessed_at,
        "expires_at": memory.expires_at,
        "entity_id": memory.entity_id,
        "persona_version": memory.persona_version,
        "source_uri": memory.source_uri,
        "source_span": memory.source_span,
        "confidence_signals": memory.confidence_signals,
        "confidence_decayed_at": memory.confidence_decayed_at,
    }
    body.update((key, value) for key, value in optional.items() if value is not None)
    return body

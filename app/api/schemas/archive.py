"""Bodies and answers of the archive and of forgetting (http-api 3.3 and 3.4)."""

from typing import Annotated

import msgspec

from app.domain.memory import ArchivedMemory
from app.services.archive import ArchiveStats, ForgetFilter


class ArchiveBody(msgspec.Struct, frozen=True):
    """Memories to archive."""

    ids: Annotated[list[str], msgspec.Meta(description="At most 1000.")]
    reason: Annotated[str | None, msgspec.Meta(description="Default `archive`.")] = None


class ForgetBody(msgspec.Struct, frozen=True):
    """Which memories to forget; at least one condition."""

    namespace: str | None = None
    pattern: Annotated[
        str | None, msgspec.Meta(description="Words, any of which must be there.")
    ] = None
    tier: str | None = None
    dry_run: Annotated[bool | None, msgspec.Meta(description="Only count.")] = None

    def chosen(self) -> ForgetFilter:
        return ForgetFilter(self.namespace, self.pattern, self.tier)


def archived_body(row: ArchivedMemory) -> dict[str, object]:
    """A row of the archive; its nulls are kept, unlike those of a memory."""
    memory = row.memory
    return {
        "id": memory.id,
        "tier": memory.tier,
        "namespace": memory.namespace,
        "title": memory.title,
        "content": memory.content,
        "tags": list(memory.tags),
        "priority": memory.priority,
        "confidence": memory.confidence,
        "source": memory.source,
        "access_count": memory.access_count,
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
        "last_accessed_at": memory.last_accessed_at,
        "expires_at": memory.expires_at,
        "archived_at": row.archived_at,
        "archive_reason": row.archive_reason,
        "metadata": dict(memory.metadata),
    }


def stats_body(stats: ArchiveStats) -> dict[str, object]:
    counts = [{"namespace": one.namespace, "count": one.count} for one in stats.by_namespace]
    return {"archived_total": stats.total, "by_namespace": counts}

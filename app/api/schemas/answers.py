"""What the memories group answers, for the API's document; the bodies are built as plain JSON."""

from typing import Literal

import msgspec
from litestar.openapi.datastructures import ResponseSpec

Object = dict[str, object]


class MemoryFields(msgspec.Struct):
    """A memory. Optional fields are left out when unset, never null."""

    id: str
    tier: Literal["short", "mid", "long"]
    namespace: str
    title: str
    content: str
    tags: list[str]
    priority: int
    confidence: float
    source: str
    access_count: int
    created_at: str
    updated_at: str
    metadata: Object
    reflection_depth: int
    memory_kind: str
    citations: list[Object]
    confidence_source: str
    version: int
    last_accessed_at: str | msgspec.UnsetType = msgspec.UNSET
    expires_at: str | msgspec.UnsetType = msgspec.UNSET
    entity_id: str | msgspec.UnsetType = msgspec.UNSET
    persona_version: int | msgspec.UnsetType = msgspec.UNSET
    source_uri: str | msgspec.UnsetType = msgspec.UNSET
    source_span: Object | msgspec.UnsetType = msgspec.UNSET
    confidence_signals: Object | msgspec.UnsetType = msgspec.UNSET
    confidence_decayed_at: str | msgspec.UnsetType = msgspec.UNSET


class StoredAnswer(MemoryFields, kw_only=True):
    """The fields of the stored memory at the top, and the memory again."""

    agent_id: str
    memory: MemoryFields
    potential_contradictions: list[str] | msgspec.UnsetType = msgspec.UNSET
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class LinkFields(msgspec.Struct):
    """A link between two memories."""

    source_id: str
    target_id: str
    relation: str
    created_at: str
    valid_from: str | msgspec.UnsetType = msgspec.UNSET
    valid_until: str | msgspec.UnsetType = msgspec.UNSET
    observed_by: str | msgspec.UnsetType = msgspec.UNSET
    attest_level: str | msgspec.UnsetType = msgspec.UNSET


class ReadAnswer(MemoryFields, kw_only=True):
    """The memory's fields at the top, the memory again, and its links in both directions."""

    memory: MemoryFields
    links: list[LinkFields]


class ScoredMemory(MemoryFields, kw_only=True):
    """A memory and how well it fits."""

    score: float
    confidence_tier: str | msgspec.UnsetType = msgspec.UNSET
    freshness_state: str | msgspec.UnsetType = msgspec.UNSET
    latest_link_attest_level: str | msgspec.UnsetType | None = msgspec.UNSET


class ListAnswer(msgspec.Struct):
    """A page; `next_cursor` is null on the last one."""

    memories: list[MemoryFields]
    count: int
    total: int
    next_cursor: str | None


class SearchAnswer(msgspec.Struct):
    """A page under both of its names."""

    results: list[ScoredMemory]
    memories: list[ScoredMemory]
    count: int
    total: int
    next_cursor: str | None
    query: str | msgspec.UnsetType = msgspec.UNSET
    source_uri: str | msgspec.UnsetType = msgspec.UNSET


class BudgetMeta(msgspec.Struct):
    """What the token budget did."""

    budget_tokens_used: int
    budget_tokens_remaining: int
    memories_dropped: int
    budget_overflow: bool


class RecallAnswer(msgspec.Struct):
    """The best memories, best first; the last two keys come with a budget."""

    memories: list[ScoredMemory]
    count: int
    total: int
    next_cursor: str | None
    tokens_used: int
    mode: Literal["hybrid", "keyword"]
    budget_tokens: int | msgspec.UnsetType = msgspec.UNSET
    meta: BudgetMeta | msgspec.UnsetType = msgspec.UNSET


class BulkRow(msgspec.Struct):
    """What became of one row."""

    index: int
    status: Literal["created", "updated", "failed"]
    id: str | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET


class BulkAnswer(msgspec.Struct):
    """How many rows are stored, which, and why not the others."""

    created: int
    errors: list[str]
    ids: list[str]
    results: list[BulkRow]
    pending: list[str]


class PromoteAnswer(msgspec.Struct):
    """The memory stays."""

    promoted: bool
    id: str
    tier: str


class ArchivedRow(msgspec.Struct):
    """A row of the archive."""

    id: str
    tier: str
    namespace: str
    title: str
    content: str
    tags: list[str]
    priority: int
    confidence: float
    source: str
    access_count: int
    created_at: str
    updated_at: str
    last_accessed_at: str | None
    expires_at: str | None
    archived_at: str
    archive_reason: str
    metadata: Object


class ArchiveAnswer(msgspec.Struct):
    """A page of the archive."""

    archived: list[ArchivedRow]
    count: int
    total: int
    next_cursor: str | None


class MovedAnswer(msgspec.Struct):
    """Which ids moved, and which did not."""

    archived: list[str]
    missing: list[str]
    count: int
    reason: str


class NamespaceTotal(msgspec.Struct):
    """How many rows a namespace has."""

    namespace: str
    count: int


class ArchiveStatsAnswer(msgspec.Struct):
    """Counts of the archive."""

    archived_total: int
    by_namespace: list[NamespaceTotal]


class ForgetAnswer(msgspec.Struct):
    """How many are gone, or would be."""

    deleted: int
    would_delete: int | msgspec.UnsetType = msgspec.UNSET
    dry_run: bool | msgspec.UnsetType = msgspec.UNSET


def answer(status: int, body: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """What a handler that builds plain JSON answers, for `responses=`."""
    text = (body.__doc__ or "").partition("\n")[0]
    return {status: ResponseSpec(body, generate_examples=False, description=text)}

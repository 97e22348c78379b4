"""The JSON of `/api/v1/sync/push` and `/api/v1/sync/since` (federation 1.6, 1.8 and 2.1).

Keys are v0.7.0's; behind them, at the end of each answer, stand ours. Items of a push are read one
by one, so that one that nobody can read does not stop the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from app.domain.memory import Json, Memory, MemoryLink

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE: Final = "application/json"


class MemoryRow(msgspec.Struct, frozen=True):
    """A memory as it travels. What stands behind `updated_at` came with later releases."""

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
    last_accessed_at: str | None = None
    expires_at: str | None = None
    metadata: dict[str, object] | None = None
    reflection_depth: int | None = None
    memory_kind: str | None = None
    entity_id: str | None = None
    persona_version: int | None = None
    citations: list[object] | UnsetType = UNSET
    source_uri: str | None = None
    source_span: object = None
    confidence_source: str | None = None
    confidence_signals: dict[str, object] | None = None
    confidence_decayed_at: str | None = None
    version: int | None = None

    @property
    def has_provenance(self) -> bool:
        """Whether the sender knows of provenance, and so what it leaves out is unset."""
        return self.citations is not UNSET

    def memory(self) -> Memory:
        """Not checked yet."""
        citations = () if self.citations is UNSET else tuple(self.citations)
        return Memory(
            id=self.id,
            tier=self.tier,
            namespace=self.namespace,
            title=self.title,
            content=self.content,
            tags=tuple(self.tags),
            priority=self.priority,
            confidence=self.confidence,
            source=self.source,
            access_count=self.access_count,
            created_at=self.created_at,
            updated_at=self.updated_at,
            last_accessed_at=self.last_accessed_at,
            expires_at=self.expires_at,
            metadata=cast("Mapping[str, Json]", self.metadata or {}),
            reflection_depth=self.reflection_depth or 0,
            memory_kind=self.memory_kind or "observation",
            entity_id=self.entity_id,
            persona_version=self.persona_version,
            citations=cast("tuple[Json, ...]", citations),
            source_uri=self.source_uri,
            source_span=cast("Json", self.source_span),
            confidence_source=self.confidence_source or "caller_provided",
            confidence_signals=cast("Json", self.confidence_signals),
            confidence_decayed_at=self.confidence_decayed_at,
            version=1 if self.version is None else self.version,
        )


class LinkRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A link as it travels; `signature` is a list of byte values."""

    source_id: str
    target_id: str
    relation: str
    created_at: str
    valid_from: str | None = None
    valid_until: str | None = None
    observed_by: str | None = None
    signature: list[Annotated[int, msgspec.Meta(ge=0, le=255)]] | None = None
    attest_level: str | None = None

    def link(self) -> MemoryLink:
        """Not checked yet; who says how well it is attested is whoever checks the signature."""
        return MemoryLink(
            source_id=self.source_id,
            target_id=self.target_id,
            relation=self.relation,
            created_at=self.created_at,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            observed_by=self.observed_by,
            signature=None if self.signature is None else bytes(self.signature),
        )


def link_row(link: MemoryLink) -> LinkRow:
    """A link as it travels."""
    return LinkRow(
        source_id=link.source_id,
        target_id=link.target_id,
        relation=link.relation,
        created_at=link.created_at,
        valid_from=link.valid_from,
        valid_until=link.valid_until,
        observed_by=link.observed_by,
        signature=None if link.signature is None else list(link.signature),
        attest_level=link.attest_level,
    )


class ApprovalRow(msgspec.Struct, frozen=True):
    """A vote for a pending action."""

    agent_id: str
    approved_at: str


class PendingRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An action that waits for approval, or did."""

    id: str
    action_type: str
    namespace: str
    requested_by: str
    requested_at: str
    payload: object = None
    memory_id: str | None = None
    status: Literal["pending", "approved", "rejected", "expired"] = "pending"
    decided_by: str | None = None
    decided_at: str | None = None
    approvals: list[ApprovalRow] = []


class DecisionRow(msgspec.Struct, frozen=True):
    """A decision on a pending action."""

    id: str
    approved: bool
    decider: str


class StandardRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which memory is the standard of a namespace."""

    namespace: str
    standard_id: str
    updated_at: str
    parent_namespace: str | None = None


class PushBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node sends. Unknown keys are ignored; what is absent or null is empty."""

    sender_agent_id: str
    memories: list[object]
    sender_clock: object = None
    sender_wall_clock: object = None
    deletions: list[str] | None = None
    archives: list[str] | None = None
    restores: list[str] | None = None
    links: list[object] | None = None
    pendings: list[object] | None = None
    pending_decisions: list[object] | None = None
    namespace_meta: list[object] | None = None
    namespace_meta_clears: list[str] | None = None
    dry_run: bool | None = None


LISTS: Final = (
    "memories",
    "deletions",
    "archives",
    "restores",
    "links",
    "pendings",
    "pending_decisions",
    "namespace_meta",
    "namespace_meta_clears",
)
"""In the order in which a receiver applies them."""
COUNTED_LISTS: Final = tuple(name for name in LISTS if name != "links")
"""Those that a receiver takes a limited number of."""


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item: `index` is its place in `list`."""

    list: str
    index: int
    id: str
    status: Literal["new", "updated", "noop", "skipped", "refused"]
    code: str | None = None


class PushAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a push: counts as in v0.7.0, then every item by itself."""

    applied: int
    deleted: int
    archived: int
    restored: int
    links_applied: int
    pendings_applied: int
    pending_decisions_applied: int
    namespace_meta_applied: int
    namespace_meta_cleared: int
    noop: int
    skipped: int
    quota_refused: int
    dry_run: bool
    receiver_agent_id: str
    receiver_clock: dict[str, dict[str, str]]
    ids: list[str] | UnsetType = UNSET
    """What the receiver has now, by the id under which the sender knows it."""
    applied_ids: list[str] | UnsetType = UNSET
    """Of `ids`, what this push changed."""
    results: list[ItemResult] | UnsetType = UNSET


class SinceAnswer(msgspec.Struct, frozen=True):
    """A page of rows by time, and where the next one starts."""

    count: int
    limit: int
    updated_since: str | None
    earliest_updated_at: str | None
    latest_updated_at: str | None
    memories: list[dict[str, object]]
    excluded_for_scope: int
    excluded_for_scope_private: int
    scope_status: Literal["scoped", "legacy_bypass", "no_allowlist_default_deny"]
    next_since: str | None
    """`since` of the next page: the last row that was looked at, whether shown or not."""


R = TypeVar("R", bound=msgspec.Struct)


def read_item(kind: type[R], item: object) -> R | None:
    """One item of a list, or None when it is not of its kind."""
    try:
        return msgspec.convert(item, kind)
    except (msgspec.ValidationError, RecursionError):
        return None

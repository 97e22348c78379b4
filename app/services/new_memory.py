"""A memory as a client asks for it, checked, and made into a row (http-api 2.5 and 2.13)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.memory import Json, Memory
from app.domain.timestamps import format_instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class NewMemory:
    """What a store asks for; the defaults are those of HTTP. Not checked yet."""

    title: str
    content: str
    tier: str = "mid"
    namespace: str = "global"
    tags: Sequence[str] = ()
    priority: int = 5
    confidence: float = 1.0
    source: str = "api"
    expires_at: str | None = None
    ttl_secs: int | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    scope: str | None = None
    on_conflict: str = "error"
    force: bool = False
    citations: Sequence[object] = ()
    source_uri: str | None = None
    source_span: object = None
    kind: str = "observation"
    signature: str | None = None
    created_at: str | None = None


@dataclass(frozen=True, slots=True)
class CheckedMemory:
    """A `NewMemory` whose every value may be stored, times in our one form."""

    new: NewMemory
    tags: tuple[str, ...]
    citations: tuple[Json, ...]
    source_span: Json
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class TierLives:
    """How long a memory of a tier lives untouched, in seconds; None is for good."""

    short: int | None = 21_600
    mid: int | None = 604_800
    long: int | None = None

    def seconds(self, tier: str) -> int | None:
        return self.short if tier == "short" else self.mid if tier == "mid" else self.long


def checked(new: NewMemory, now: datetime) -> CheckedMemory:
    """The first rule that a value breaks, in v0.7.0's order (http-api 2.13), or what to store.

    Raises:
        InvalidInputError: with `fields`.
    """
    must.title(new.title)
    must.content(new.content)
    must.namespace(new.namespace)
    must.source(new.source)
    tags = must.tags(new.tags)
    must.priority(new.priority)
    must.confidence(new.confidence)
    expires_at = (
        None if new.expires_at is None else must.future_expiry(new.expires_at, format_instant(now))
    )
    if new.ttl_secs is not None:
        must.ttl_seconds(new.ttl_secs)
    must.metadata(new.metadata)
    citations = must.citations(new.citations)
    if new.source_uri is not None:
        must.source_uri(new.source_uri)
    source_span = None if new.source_span is None else must.source_span(new.source_span)
    must.tier(new.tier)
    must.kind(new.kind)
    if new.scope is not None:
        must.scope(new.scope)
    must.on_conflict(new.on_conflict)
    if (new.signature is None) != (new.created_at is None):
        missing = "created_at" if new.created_at is None else "signature"
        raise InvalidInputError(
            f"signature and created_at go together: {missing} is missing", fields=[missing]
        )
    return CheckedMemory(new, tags, citations, source_span, expires_at)


def row_of(
    accepted: CheckedMemory, memory_id: str, owner: str, now: datetime, lives: TierLives
) -> Memory:
    """The row of a new memory. Expiry: given, else `ttl_secs`, else the tier's life."""
    new = accepted.new
    stamp = format_instant(now)
    expires_at = accepted.expires_at
    if expires_at is None:
        seconds = lives.seconds(new.tier) if new.ttl_secs is None else new.ttl_secs
        if seconds is not None:
            expires_at = format_instant(now + timedelta(seconds=seconds))
    metadata: dict[str, Json] = {**new.metadata, "agent_id": owner}
    if new.scope is not None:
        metadata["scope"] = new.scope
    return Memory(
        id=memory_id,
        tier=new.tier,
        namespace=new.namespace,
        title=new.title,
        content=new.content,
        tags=accepted.tags,
        priority=new.priority,
        confidence=float(new.confidence),
        source=new.source,
        access_count=0,
        created_at=stamp,
        updated_at=stamp,
        expires_at=expires_at,
        metadata=metadata,
        memory_kind=new.kind,
        citations=accepted.citations,
        source_uri=new.source_uri,
        source_span=accepted.source_span,
    )


def attested(row: Memory, created_at: str, level: str) -> Memory:
    """The row with the time that its author signed, and how far the signature goes."""
    return replace(row, created_at=created_at, metadata={**row.metadata, "attest_level": level})

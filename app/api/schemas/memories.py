"""Bodies and answers of the memories group (http-api 2.5, 2.6, 3.2)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

import msgspec

from app.api.schemas.memory import MemoryBody, memory_body
from app.domain import errors
from app.domain.memory import Json, MemoryLink
from app.services.commands.memories import Changes
from app.services.memories import StoredMemory
from app.services.new_memory import NewMemory

NO_LLM_WARNING = "detect_conflicts was ignored: no LLM is configured"


def _said(description: str, example: object = None) -> msgspec.Meta:
    examples = None if example is None else [example]
    return msgspec.Meta(description=description, examples=examples)


class CreateMemoryBody(msgspec.Struct, frozen=True):
    """A memory to store. Unknown keys are ignored; null is as good as absent."""

    title: Annotated[
        str, _said("Unique in its namespace; at most 512 characters.", "Deploys run on Fridays")
    ]
    content: Annotated[str, _said("At most 65,536 bytes of UTF-8.", "The window opens at 14:00.")]
    tier: Annotated[str | None, _said("`short`, `mid` (default) or `long`.")] = None
    namespace: Annotated[
        str | None, _said("A path of at most 8 segments; default `global`.", "team/deploys")
    ] = None
    tags: Annotated[list[str] | None, _said("At most 50.", ["ops"])] = None
    priority: Annotated[int | None, _said("1 to 10, default 5.")] = None
    confidence: Annotated[float | None, _said("0 to 1, default 1.")] = None
    source: Annotated[str | None, _said("Who says so; default `api`.")] = None
    expires_at: Annotated[str | None, _said("RFC 3339, in the future.")] = None
    ttl_secs: Annotated[int | None, _said("Seconds to live, 1 to 31,536,000.")] = None
    metadata: Annotated[dict[str, object] | None, _said("Any JSON object, 64 KiB at most.")] = None
    agent_id: Annotated[str | None, _said("Who stores; must agree with `X-Agent-Id`.")] = None
    scope: Annotated[
        str | None, _said("Who sees it: private (default), team, unit, org or collective.")
    ] = None
    on_conflict: Annotated[
        str | None, _said("When the title is taken: error (default), merge or version.")
    ] = None
    detect_conflicts: Annotated[bool | None, _said("Taken, and ignored without an LLM.")] = None
    force: Annotated[bool | None, _said("Store a near-duplicate all the same.")] = None
    citations: list[object] | None = None
    source_uri: Annotated[str | None, _said("Starts with uri:, doc: or file:.")] = None
    source_span: object = None
    kind: Annotated[str | None, _said("One of the ten kinds; default `observation`.")] = None
    signature: Annotated[str | None, _said("Ed25519 over the memory, base64.")] = None
    created_at: Annotated[str | None, _said("The time that was signed.")] = None

    def new_memory(self, on_conflict: str = "error") -> NewMemory:
        """With the defaults of HTTP for what is absent."""
        return NewMemory(
            title=self.title,
            content=self.content,
            tier="mid" if self.tier is None else self.tier,
            namespace="global" if self.namespace is None else self.namespace,
            tags=self.tags or (),
            priority=5 if self.priority is None else self.priority,
            confidence=1.0 if self.confidence is None else self.confidence,
            source="api" if self.source is None else self.source,
            expires_at=self.expires_at,
            ttl_secs=self.ttl_secs,
            metadata=cast("Mapping[str, Json]", self.metadata or {}),
            scope=self.scope,
            on_conflict=on_conflict if self.on_conflict is None else self.on_conflict,
            force=self.force is True,
            citations=self.citations or (),
            source_uri=self.source_uri,
            source_span=self.source_span,
            kind="observation" if self.kind is None else self.kind,
            signature=self.signature,
            created_at=self.created_at,
        )


class BulkBody(msgspec.Struct, frozen=True):
    """The other form of a bulk body."""

    memories: Annotated[list[CreateMemoryBody], _said("At most 1000.")]


class UpdateMemoryBody(msgspec.Struct, frozen=True):
    """What to change; what is absent or null stays."""

    title: str | None = None
    content: str | None = None
    tier: Annotated[str | None, _said("Never falls: a lower tier is ignored.")] = None
    namespace: str | None = None
    tags: list[str] | None = None
    priority: int | None = None
    confidence: float | None = None
    expires_at: Annotated[
        str | None, _said('RFC 3339; "" or "never" clears the expiry.', "never")
    ] = None
    metadata: Annotated[
        dict[str, object] | None, _said("Replaces the old one, but for its owner.")
    ] = None
    source_uri: str | None = None
    agent_id: Annotated[str | None, _said("Must agree with `X-Agent-Id`.")] = None

    def changes(self, *, merge_metadata: bool) -> Changes:
        return Changes(
            title=self.title,
            content=self.content,
            tier=self.tier,
            namespace=self.namespace,
            tags=self.tags,
            priority=self.priority,
            confidence=self.confidence,
            expires_at=self.expires_at,
            metadata=cast("Mapping[str, Json] | None", self.metadata),
            merge_metadata=merge_metadata,
            source_uri=self.source_uri,
        )


def stored_body(stored: StoredMemory, warnings: Sequence[str] = ()) -> dict[str, object]:
    """The receipt's keys, every field of the memory, and the memory itself (http-api row 16)."""
    memory = memory_body(stored.memory)
    body: dict[str, object] = {
        **memory,
        "agent_id": stored.memory.owner,
        "memory": memory,
    }
    if stored.contradictions:
        body["potential_contradictions"] = list(stored.contradictions)
    if warnings:
        body["warnings"] = list(warnings)
    return body


def listed(
    memories: Sequence[MemoryBody], total: int, next_cursor: str | None
) -> dict[str, object]:
    """A page of memories."""
    return {
        "memories": memories,
        "count": len(memories),
        "total": total,
        "next_cursor": next_cursor,
    }


def link_body(link: MemoryLink) -> dict[str, str]:
    """A link without its signature, which only exports carry (http-api 2.7)."""
    found = {
        "source_id": link.source_id,
        "target_id": link.target_id,
        "relation": link.relation,
        "created_at": link.created_at,
        "valid_from": link.valid_from,
        "valid_until": link.valid_until,
        "observed_by": link.observed_by,
        "attest_level": link.attest_level,
    }
    return {key: value for key, value in found.items() if value is not None}


_ROW_CLASSES: Mapping[type[errors.AiMemoryError], str] = {
    errors.InvalidInputError: "validation failed",
    errors.ConflictError: "conflict: already exists",
    errors.NotFoundError: "not found",
    errors.ForbiddenError: "forbidden",
    errors.QuotaExceededError: "quota exceeded",
    errors.StoreUnavailableError: "replication unavailable",
}


def row_class(error: errors.AiMemoryError) -> str:
    """The bare word that v0.7.0 gives a failed row of a bulk or an import (http-api 1.7)."""
    return next(
        (_ROW_CLASSES[base] for base in type(error).__mro__ if base in _ROW_CLASSES),
        "internal error",
    )


def bulk_body(
    outcomes: Sequence[StoredMemory | errors.AiMemoryError], *, errors_as_objects: bool = False
) -> dict[str, object]:
    """v0.7.0's two keys, then what became of each row (http-api 7.3 row 26)."""
    results: list[dict[str, object]] = []
    failures: list[str] = []
    ids: list[str] = []
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, StoredMemory):
            ids.append(outcome.memory.id)
            status = "created" if outcome.is_new else "updated"
            results.append({"index": index, "status": status, "id": outcome.memory.id})
        else:
            text = f"{row_class(outcome)}: row {index}: {outcome.message}"
            failures.append(text)
            results.append(
                {"index": index, "status": "failed", "error": text, "code": outcome.code}
            )
    return {
        "created": len(ids),
        "errors": [one for one in results if "error" in one] if errors_as_objects else failures,
        "ids": ids,
        "results": results,
        "pending": [],
    }

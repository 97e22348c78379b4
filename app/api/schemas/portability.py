"""Exports and imports on the wire (http-api 2.2, 2.7 and 3.11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Literal, cast

import msgspec

from app.api.paging import decode_cursor, encode_cursor
from app.api.schemas.memories import row_class
from app.api.schemas.memory import MemoryBody, memory_body
from app.domain.memory import Json, Memory, MemoryLink
from app.services.portability import ExportPage, ImportOutcome, Position, RowOutcome
from app.store.sql.records import LinkPosition, MemoryPosition


class ImportedMemoryBody(msgspec.Struct, frozen=True):
    """A memory out of an export; only the keys up to `updated_at` must be there."""

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
    expires_at: Annotated[str | None, msgspec.Meta(description="May be past.")] = None
    metadata: dict[str, object] | None = None
    reflection_depth: int | None = None
    memory_kind: str | None = None
    entity_id: str | None = None
    persona_version: int | None = None
    citations: list[object] | None = None
    source_uri: str | None = None
    source_span: object = None
    confidence_source: str | None = None
    confidence_signals: dict[str, object] | None = None
    confidence_decayed_at: str | None = None
    version: int | None = None

    def memory(self) -> Memory:
        """Not checked yet."""
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
            citations=cast("tuple[Json, ...]", tuple(self.citations or ())),
            source_uri=self.source_uri,
            source_span=cast("Json", self.source_span),
            confidence_source=self.confidence_source or "caller_provided",
            confidence_signals=cast("Json", self.confidence_signals),
            confidence_decayed_at=self.confidence_decayed_at,
            version=1 if self.version is None else self.version,
        )


class LinkBody(msgspec.Struct, omit_defaults=True):
    """A link; `signature` is a list of byte values."""

    source_id: str
    target_id: str
    relation: str
    created_at: str
    valid_from: str | None = None
    valid_until: str | None = None
    observed_by: str | None = None
    attest_level: str | None = None
    signature: list[int] | None = None

    def link(self) -> MemoryLink:
        """Not checked yet; what is no list of byte values is no signature."""
        signature = None
        with suppress(ValueError):
            signature = None if self.signature is None else bytes(self.signature)
        return MemoryLink(
            source_id=self.source_id,
            target_id=self.target_id,
            relation=self.relation,
            created_at=self.created_at,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            observed_by=self.observed_by,
            attest_level=self.attest_level,
            signature=signature,
        )


class ImportBody(msgspec.Struct, frozen=True):
    """The body of an export, at most 1000 memories of it."""

    memories: list[ImportedMemoryBody]
    links: list[LinkBody] | None = None


class ImportResult(msgspec.Struct, omit_defaults=True):
    """What became of one row."""

    index: int
    status: Literal["imported", "updated", "failed"]
    id: str | None = None
    error: str | None = None
    code: str | None = None


class ImportedBody(msgspec.Struct):
    """v0.7.0's `imported` and `errors`, then more: each row's own result, and the links."""

    imported: int
    errors: list[str]
    results: list[ImportResult]
    restamped: int
    trusted_source: bool
    links_imported: int
    links_skipped: int


class ExportBody(msgspec.Struct, omit_defaults=True):
    """Live memories by creation and the links between them: a body that can be imported.

    `next_cursor` is there when `limit` was given and there is more.
    """

    memories: list[dict[str, object]]
    links: list[LinkBody]
    count: int
    exported_at: str
    next_cursor: str | None = None


class _Cursor(msgspec.Struct):
    stage: Literal["memories", "links"]
    key: list[str]


_LINK_KEYS = 3
_MEMORY_KEYS = 2


def position_of(cursor: str | None) -> Position:
    """Where the page before ended; nonsense starts at the beginning of its stage."""
    found = decode_cursor(cursor, _Cursor)
    if found is None:
        return None
    if found.stage == "links":
        return LinkPosition(*(found.key + [""] * _LINK_KEYS)[:_LINK_KEYS])
    return MemoryPosition(*(found.key + [""] * _MEMORY_KEYS)[:_MEMORY_KEYS])


def cursor_of(position: Position) -> str | None:
    """The cursor of the next page, None after the last."""
    if isinstance(position, LinkPosition):
        key = [position.source_id, position.target_id, position.relation]
        return encode_cursor(_Cursor("links", key))
    if isinstance(position, MemoryPosition):
        return encode_cursor(_Cursor("memories", [position.created_at, position.memory_id]))
    return None


def exported_body(page: ExportPage, exported_at: str) -> ExportBody:
    return ExportBody(
        memories=[{**memory_body(memory)} for memory in page.memories],
        links=[link_body(link) for link in page.links],
        count=len(page.memories),
        exported_at=exported_at,
        next_cursor=cursor_of(page.following),
    )


def link_body(link: MemoryLink) -> LinkBody:
    return LinkBody(
        source_id=link.source_id,
        target_id=link.target_id,
        relation=link.relation,
        created_at=link.created_at,
        valid_from=link.valid_from,
        valid_until=link.valid_until,
        observed_by=link.observed_by,
        attest_level=link.attest_level,
        signature=None if link.signature is None else list(link.signature),
    )


def imported_body(outcome: ImportOutcome, *, trusted_source: bool) -> ImportedBody:
    results = [_result(index, row) for index, row in enumerate(outcome.rows)]
    errors = [result.error for result in results if result.error is not None]
    return ImportedBody(
        imported=len(results) - len(errors),
        errors=errors,
        results=results,
        restamped=outcome.restamped,
        trusted_source=trusted_source,
        links_imported=outcome.links_imported,
        links_skipped=outcome.links_skipped,
    )


def _result(index: int, row: RowOutcome) -> ImportResult:
    if row.error is None:
        return ImportResult(index, row.status, id=row.memory_id)
    text = f"{row_class(row.error)}: row {index}: {row.error.message}"
    return ImportResult(index, row.status, error=text, code=row.error.code)


def joined(bodies: Sequence[MemoryBody] | Sequence[LinkBody], *, is_first: bool) -> bytes:
    """Members of a JSON array, as they follow what was sent before."""
    inside = msgspec.json.encode(bodies)[1:-1]
    return inside if is_first or not inside else b"," + inside

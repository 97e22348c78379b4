"""What an imported row and link must be (http-api 2.2, 2.7 and 2.13)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.errors import InvalidInputError
from app.domain.memory import ACCESS_COUNT_MAX, RELATIONS, Json, Memory, MemoryLink

if TYPE_CHECKING:
    from collections.abc import Sequence

_MESSAGES_PREFIX: Final = "_messages/"
_SHARED_PREFIX: Final = "_shared/"
_CONFIDENCE_SOURCES: Final = (
    "caller_provided",
    "auto_derived",
    "calibrated",
    "decayed",
    "curator_derived",
)
_ATTESTED: Final = ("self_signed", "peer_attested")
_SIGNATURE_BYTES: Final = 64
_DEPTH_MAX: Final = 1 << 31
_COUNT_MAX: Final = 1 << 53


def checked_memory(row: Memory) -> Memory:
    """The row with times in our one form. An expiry may be past.

    Raises:
        InvalidInputError: with `fields`.
    """
    must.memory_id(row.id)
    _title(row)
    must.content(row.content)
    namespace = _namespace(row.namespace)
    must.source(row.source)
    metadata = {
        key: value for key, value in must.metadata(row.metadata).items() if key != "name_conflict"
    }
    owner = metadata.get("agent_id")
    if owner is not None:
        # The ids of a node's own parts own rows, too.
        validate_agent_id(str(owner), reserved_allowed=True)
    return replace(
        row,
        namespace=namespace,
        tier=must.tier(row.tier),
        tags=must.tags(row.tags),
        priority=must.priority(row.priority),
        confidence=must.confidence(row.confidence),
        access_count=min(_count(row.access_count, "access_count"), ACCESS_COUNT_MAX),
        created_at=must.instant(row.created_at, "created_at"),
        updated_at=must.instant(row.updated_at, "updated_at"),
        last_accessed_at=_instant(row.last_accessed_at, "last_accessed_at"),
        expires_at=_instant(row.expires_at, "expires_at"),
        metadata=metadata,
        reflection_depth=min(_count(row.reflection_depth, "reflection_depth"), _DEPTH_MAX),
        memory_kind=must.kind(row.memory_kind, "memory_kind"),
        entity_id=None if row.entity_id is None else must.memory_id(row.entity_id, "entity_id"),
        persona_version=None
        if row.persona_version is None
        else min(_count(row.persona_version, "persona_version"), _DEPTH_MAX),
        citations=must.citations(cast("Sequence[object]", row.citations)),
        source_uri=None if row.source_uri is None else must.source_uri(row.source_uri),
        source_span=None if row.source_span is None else must.source_span(row.source_span),
        confidence_source=_confidence_source(row.confidence_source),
        confidence_signals=_signals(row.confidence_signals),
        confidence_decayed_at=_instant(row.confidence_decayed_at, "confidence_decayed_at"),
        version=max(_count(row.version, "version"), 1),
    )


def checked_link(link: MemoryLink) -> MemoryLink:
    """The link with times in our one form; a level that no signature carries is unsigned.

    Raises:
        InvalidInputError: it can be no link.
    """
    must.memory_id(link.source_id, "source_id")
    must.memory_id(link.target_id, "target_id")
    if link.source_id == link.target_id:
        raise InvalidInputError("cannot link a memory to itself", fields=["target_id"])
    must.relation(link.relation)
    signature = link.signature if link.attest_level in _ATTESTED else None
    if signature is not None and len(signature) != _SIGNATURE_BYTES:
        signature = None
    return replace(
        link,
        # v0.7.0 reads words that it does not know as this one.
        relation=link.relation if link.relation in RELATIONS else "related_to",
        created_at=must.instant(link.created_at, "created_at"),
        valid_from=_instant(link.valid_from, "valid_from"),
        valid_until=_instant(link.valid_until, "valid_until"),
        observed_by=None
        if link.observed_by is None
        else validate_agent_id(link.observed_by, reserved_allowed=True),
        signature=signature,
        attest_level="unsigned" if signature is None else link.attest_level,
    )


def _title(row: Memory) -> None:
    # A row that lost its name to another one was exported with a mark behind its title.
    mark = f" ~{row.id[:8]}"
    lost = "name_conflict" in row.metadata and row.title.endswith(mark)
    must.title(row.title.removesuffix(mark) if lost else row.title)


def _namespace(namespace: str) -> str:
    if namespace.startswith(_MESSAGES_PREFIX):
        validate_agent_id(namespace.removeprefix(_MESSAGES_PREFIX), reserved_allowed=True)
        return namespace
    if namespace.startswith(_SHARED_PREFIX):
        namespace = namespace.removesuffix("/")  # v0.7.0 wrote one (http-api 7.3 row 37)
    return must.namespace(namespace)


def _instant(text: str | None, field: str) -> str | None:
    return None if text is None else must.instant(text, field)


def _count(value: int, field: str) -> int:
    if not 0 <= value <= _COUNT_MAX:
        raise InvalidInputError(f"{field} is out of range (got {value})", fields=[field])
    return value


def _confidence_source(word: str) -> str:
    if word not in _CONFIDENCE_SOURCES:
        raise InvalidInputError(
            f"invalid confidence_source '{word}' — must be one of:"
            f" {', '.join(_CONFIDENCE_SOURCES)}",
            fields=["confidence_source"],
        )
    return word


def _signals(value: Json) -> Json:
    return None if value is None else cast("Json", must.metadata(value))

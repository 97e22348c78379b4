"""What a value must be before it may enter the store (http-api 2.13), in v0.7.0's words.

Every function returns the value in the form that is stored, or raises `InvalidInputError` with
`fields` naming the culprit. "Clean" text has no control characters except newline and tab; lone
surrogates are never clean, since no UTF-8 text can hold them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import msgspec

from app.domain.errors import InvalidInputError
from app.domain.memory import MEMORY_KINDS, SCOPES, SOURCES, TIER_RANKS
from app.domain.timestamps import TimestampError, canonical_instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.memory import Json

TITLE_CHARACTERS_MAX: Final = 512
CONTENT_BYTES_MAX: Final = 65_536
NAMESPACE_CHARACTERS_MAX: Final = 512
NAMESPACE_SEGMENTS_MAX: Final = 8
SOURCE_BYTES_MAX: Final = 64
TAGS_MAX: Final = 50
TAG_BYTES_MAX: Final = 128
PRIORITY_MIN, PRIORITY_MAX = 1, 10
TTL_SECONDS_MAX: Final = 31_536_000
METADATA_BYTES_MAX: Final = 65_536
METADATA_DEPTH_MAX: Final = 32
ID_BYTES_MAX: Final = 128
RELATION_BYTES_MAX: Final = 64
AGENT_TYPE_BYTES_MAX: Final = 64
CITATIONS_MAX: Final = 64
URI_BYTES_MAX: Final = 4_096
URI_PREFIXES: Final = ("uri:", "doc:", "file:")
ON_CONFLICT_WORDS: Final = ("error", "merge", "version")

_DIRTY: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_NAMESPACE_REFUSED: Final = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ID: Final = re.compile(r"[A-Za-z0-9_:.@\-]+")
_RELATION: Final = re.compile(r"[a-z0-9_]+")
_AGENT_TYPE: Final = re.compile(r"human|system|ai:[A-Za-z0-9_.\-]{1,61}")
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_INTEGER_64_MAX: Final = (1 << 64) - 1
_INTEGER_64_MIN: Final = -(1 << 63)


def _refuse(message: str, *fields: str) -> InvalidInputError:
    return InvalidInputError(message, fields=list(fields))


def is_clean(text: str) -> bool:
    """No control character except newline and tab, no lone surrogate."""
    return _DIRTY.search(text) is None


def utf8_length(text: str) -> int:
    """Bytes in UTF-8; a lone surrogate counts as the three bytes that it would take."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def title(value: str, field: str = "title") -> str:
    if not value or value.isspace():
        raise _refuse(f"{field} cannot be empty", field)
    if len(value) > TITLE_CHARACTERS_MAX:
        raise _refuse(f"{field} exceeds max length of {TITLE_CHARACTERS_MAX} characters", field)
    if _DIRTY.search(value) is not None:
        raise _refuse(f"{field} contains invalid characters", field)
    return value


def content(value: str, field: str = "content") -> str:
    if not value or value.isspace():
        raise _refuse(f"{field} cannot be empty", field)
    if utf8_length(value) > CONTENT_BYTES_MAX:
        raise _refuse(f"{field} exceeds max size of {CONTENT_BYTES_MAX} bytes", field)
    if _DIRTY.search(value) is not None:
        raise _refuse(f"{field} contains invalid characters", field)
    return value


def namespace(value: str, field: str = "namespace") -> str:
    """A path of at most eight segments, or `*`, the global standard's."""
    if _PLAIN_NAMESPACE.fullmatch(value) is not None:
        return value
    if not value:
        raise _refuse(f"{field} cannot be empty", field)
    if len(value) > NAMESPACE_CHARACTERS_MAX:
        raise _refuse(f"{field} exceeds max length of {NAMESPACE_CHARACTERS_MAX} characters", field)
    if _NAMESPACE_REFUSED.search(value) is not None:
        raise _refuse(f"{field} contains invalid characters", field)
    if any(character.isspace() for character in value):
        raise _refuse(f"{field} cannot contain spaces (use hyphens or underscores)", field)
    segments = value.split("/")
    if not segments[0] or not segments[-1]:
        raise _refuse(f"{field} cannot start or end with '/'", field)
    if not all(segments):
        raise _refuse(f"{field} cannot contain empty segments", field)
    if "." in segments or ".." in segments:
        raise _refuse(f"{field} cannot contain '.' or '..' segments", field)
    if len(segments) > NAMESPACE_SEGMENTS_MAX:
        raise _refuse(
            f"{field} depth {len(segments)} exceeds max of {NAMESPACE_SEGMENTS_MAX}", field
        )
    return value


def source(value: str) -> str:
    if value not in SOURCES:
        # The two that only the server writes are taken, not advertised.
        words = ", ".join(word for word in SOURCES if word not in {"shared", "host"})
        raise _refuse(f"invalid source '{value}' — must be one of: {words}", "source")
    return value


def tags(values: Sequence[str]) -> tuple[str, ...]:
    if not values:
        return ()
    if len(values) > TAGS_MAX:
        raise _refuse(f"too many tags (max {TAGS_MAX})", "tags")
    for value in values:
        _label(value, "tag", "tags")
    return tuple(values)


def capabilities(values: Sequence[str]) -> tuple[str, ...]:
    """What an agent says it can do; the rules of tags."""
    if len(values) > TAGS_MAX:
        raise _refuse(f"too many capabilities (max {TAGS_MAX})", "capabilities")
    for value in values:
        _label(value, "capability", "capabilities")
    return tuple(values)


def _label(value: str, noun: str, field: str) -> None:
    if not value or value.isspace():
        raise _refuse(f"{noun} cannot be empty", field)
    if utf8_length(value) > TAG_BYTES_MAX:
        raise _refuse(f"{noun} exceeds max length of {TAG_BYTES_MAX} bytes", field)
    if _DIRTY.search(value) is not None:
        raise _refuse(f"{noun} contains invalid characters", field)


def tier(value: str) -> str:
    if value not in TIER_RANKS:
        raise _refuse(f"invalid tier '{value}' — must be one of: short, mid, long", "tier")
    return value


def priority(value: int) -> int:
    if not PRIORITY_MIN <= value <= PRIORITY_MAX:
        raise _refuse(
            f"priority must be between {PRIORITY_MIN} and {PRIORITY_MAX} (got {value})",
            "priority",
        )
    return value


def confidence(value: float) -> float:
    if not 0.0 <= value <= 1.0:  # false for NaN, too
        raise _refuse(
            f"confidence must be between 0.0 and 1.0 (got {_number(value)})", "confidence"
        )
    return float(value)


def _number(value: float) -> str:
    return f"{int(value)}" if math.isfinite(value) and value == int(value) else f"{value}"


def instant(value: str, field: str) -> str:
    """An RFC 3339 time in our one form.

    Raises:
        InvalidInputError: not RFC 3339.
    """
    try:
        return canonical_instant(value)
    except TimestampError as error:
        raise _refuse(f"{field} is not valid RFC3339: '{value}'", field) from error


def future_expiry(value: str, now: str) -> str:
    """An expiry for a new memory, which must lie after `now` (canonical text)."""
    expires_at = instant(value, "expires_at")
    if expires_at <= now:
        raise _refuse("expires_at is in the past", "expires_at")
    return expires_at


def ttl_seconds(value: int) -> int:
    if value <= 0:
        raise _refuse(f"ttl_secs must be positive (got {value})", "ttl_secs")
    if value > TTL_SECONDS_MAX:
        raise _refuse("ttl_secs exceeds maximum of 1 year", "ttl_secs")
    return value


def metadata(value: object) -> Mapping[str, Json]:
    """A JSON object within its limits; its `scope`, if any, a known word (http-api 7.1 row 4)."""
    if not isinstance(value, dict):
        raise _refuse("metadata must be a JSON object", "metadata")
    if not value:
        return value
    _plain_json(value, "metadata")
    if len(msgspec.json.encode(value)) > METADATA_BYTES_MAX:
        raise _refuse(f"metadata exceeds max size of {METADATA_BYTES_MAX} bytes", "metadata")
    if "scope" in value and value["scope"] is not None:
        scope(value["scope"], "metadata")
    return value


def _plain_json(value: object, field: str) -> None:
    """Refuse what a log entry, a JSONB column or a v0.7.0 peer could not hold."""
    level: list[object] = [value]
    for _ in range(METADATA_DEPTH_MAX + 1):
        if not level:
            return
        deeper: list[object] = []
        for one in level:
            if isinstance(one, dict):
                _plain_texts(one, field)
                deeper.extend(one.values())
            elif isinstance(one, list):
                deeper.extend(one)
            else:
                _plain_scalar(one, field)
        level = deeper
    raise _refuse(f"{field} nesting exceeds max depth of {METADATA_DEPTH_MAX}", field)


def _plain_scalar(value: object, field: str) -> None:
    if isinstance(value, str):
        _plain_texts((value,), field)
    elif isinstance(value, float) and not math.isfinite(value):
        raise _refuse(f"{field} contains a number that is not finite", field)
    elif isinstance(value, int) and not _INTEGER_64_MIN <= value <= _INTEGER_64_MAX:
        raise _refuse(f"{field} contains an integer of more than 64 bits", field)


def _plain_texts(values: Iterable[object], field: str) -> None:
    for value in values:
        if isinstance(value, str) and not value.isascii() and not _is_unicode(value):
            raise _refuse(f"{field} contains invalid characters", field)
        # PostgreSQL keeps no NUL in text, so the other store must not either.
        if isinstance(value, str) and "\x00" in value:
            raise _refuse(f"{field} contains invalid characters", field)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def scope(value: object, field: str = "scope") -> str:
    if not isinstance(value, str) or value not in SCOPES:
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        raise _refuse(f"invalid scope '{shown}' — must be one of: {', '.join(SCOPES)}", field)
    return value


def kind(value: str, field: str = "kind") -> str:
    """One of the ten words; v0.7.0 took an unknown one for `observation` (http-api row 39)."""
    if value not in MEMORY_KINDS:
        raise _refuse(f"invalid kind '{value}' — must be one of: {', '.join(MEMORY_KINDS)}", field)
    return value


def on_conflict(value: str) -> str:
    if value not in ON_CONFLICT_WORDS:
        raise _refuse(
            f"invalid on_conflict '{value}' (expected error|merge|version)", "on_conflict"
        )
    return value


def source_uri(value: str, field: str = "source_uri") -> str:
    if not value.startswith(URI_PREFIXES):
        raise _refuse(f"source URI must start with one of: {', '.join(URI_PREFIXES)}", field)
    if utf8_length(value) > URI_BYTES_MAX:
        raise _refuse(f"source URI exceeds max length of {URI_BYTES_MAX} bytes", field)
    if not value.partition(":")[2].strip():
        raise _refuse("source URI has no payload after its prefix", field)
    if not is_clean(value):
        raise _refuse("source URI contains invalid characters", field)
    return value


def source_span(value: object, field: str = "source_span") -> dict[str, Json]:
    """`{"start", "end"}`, bytes, half-open."""
    found = value if isinstance(value, dict) else {}
    start, end = _offset(found.get("start"), field), _offset(found.get("end"), field)
    if start >= end:
        raise _refuse(f"{field} must satisfy start < end (got {start}..{end})", field)
    return {"start": start, "end": end}


def _offset(value: object, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _INTEGER_64_MAX:
        return value
    raise _refuse(f"{field} must have non-negative integers start and end", field)


def citations(values: Sequence[object]) -> tuple[Json, ...]:
    if not values:
        return ()
    if len(values) > CITATIONS_MAX:
        raise _refuse(f"too many citations (max {CITATIONS_MAX})", "citations")
    return tuple(_citation(value, number) for number, value in enumerate(values))


def _citation(value: object, number: int) -> Json:
    where = f"citations[{number}]"
    if not isinstance(value, dict) or not isinstance(value.get("uri"), str):
        raise _refuse(f"{where} must be an object with a uri", "citations")
    accessed_at = value.get("accessed_at")
    if not isinstance(accessed_at, str):
        raise _refuse(f"{where} must have an accessed_at", "citations")
    try:
        canonical_instant(accessed_at)
    except TimestampError as error:
        raise _refuse(
            f"{where} accessed_at is not valid RFC3339: '{accessed_at}'", "citations"
        ) from error
    found: dict[str, Json] = {
        "uri": source_uri(value["uri"], "citations"),
        "accessed_at": accessed_at,
    }
    digest = value.get("hash")
    if digest is not None:
        if not isinstance(digest, str) or _SHA256_HEX.fullmatch(digest) is None:
            raise _refuse(f"{where} hash must be 64 hex characters", "citations")
        found["hash"] = digest
    if value.get("span") is not None:
        found["span"] = source_span(value["span"], "citations")
    return found


def memory_id(value: str, field: str = "id") -> str:
    if not value or value.isspace():
        raise _refuse(f"{field} cannot be empty", field)
    if len(value) > ID_BYTES_MAX:
        raise _refuse(f"{field} exceeds max length of {ID_BYTES_MAX} bytes", field)
    if _ID.fullmatch(value) is None or ".." in value:
        raise _refuse(f"{field} contains invalid characters", field)
    return value


def relation(value: str) -> str:
    """The shape of a relation word; `POST /links` also wants it to be a known one."""
    if not value or len(value) > RELATION_BYTES_MAX or _RELATION.fullmatch(value) is None:
        raise _refuse(f"invalid relation '{value}'", "relation")
    return value


def agent_type(value: str) -> str:
    """`human`, `system`, or any `ai:` name (semantics 1.4)."""
    if len(value) > AGENT_TYPE_BYTES_MAX or _AGENT_TYPE.fullmatch(value) is None:
        raise _refuse(
            f"invalid agent_type '{value}' — must be human, system or ai:<name>", "agent_type"
        )
    return value

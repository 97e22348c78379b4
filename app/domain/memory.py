"""The memory record and its links as v0.7.0 clients know them (http-api 2.1-2.8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Tier(StrEnum):
    """How long a memory lives untouched: hours, days, for good."""

    SHORT = "short"
    MID = "mid"
    LONG = "long"


TIER_RANKS: Final[Mapping[str, int]] = {"short": 0, "mid": 1, "long": 2}
TIERS_BY_RANK: Final = ("short", "mid", "long")

MEMORY_KINDS: Final = (
    "observation",
    "reflection",
    "persona",
    "concept",
    "entity",
    "claim",
    "relation",
    "event",
    "conversation",
    "decision",
)
STICKY_KINDS: Final = frozenset({"reflection", "persona"})
SCOPES: Final = ("private", "team", "unit", "org", "collective")
RELATIONS: Final = (
    "related_to",
    "supersedes",
    "contradicts",
    "derived_from",
    "reflects_on",
    "derives_from",
)
SOURCES: Final = (
    "user",
    "nhi",
    "claude",
    "hook",
    "api",
    "cli",
    "import",
    "consolidation",
    "system",
    "chaos",
    "notify",
    # Written by the server itself; accepted back so that an export can be imported.
    "shared",
    "host",
)

ACCESS_COUNT_MAX: Final = 1_000_000
PRIORITY_MAX: Final = 10
ACCESSES_TO_PROMOTE: Final = 5
ACCESSES_PER_PRIORITY: Final = 10


@dataclass(frozen=True, slots=True)
class Memory:
    """The 26 fields of http-api 2.2, in their effective values (touches applied)."""

    id: str
    tier: str
    namespace: str
    title: str
    content: str
    tags: tuple[str, ...]
    priority: int
    confidence: float
    source: str
    access_count: int
    created_at: str
    updated_at: str
    last_accessed_at: str | None = None
    expires_at: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    reflection_depth: int = 0
    memory_kind: str = "observation"
    entity_id: str | None = None
    persona_version: int | None = None
    citations: tuple[Json, ...] = ()
    source_uri: str | None = None
    source_span: Json = None
    confidence_source: str = "caller_provided"
    confidence_signals: Json = None
    confidence_decayed_at: str | None = None
    version: int = 1

    @property
    def owner(self) -> str | None:
        """The agent that owns the row, or None for a row that anyone may write."""
        owner = self.metadata.get("agent_id")
        return owner if isinstance(owner, str) and owner else None

    @property
    def claimed_title(self) -> str:
        """The title as it was written; what shows is an alias while another row holds it."""
        if "name_conflict" in self.metadata:
            for suffix in (f" ~{self.id}", f" ~{self.id[:8]}"):
                if self.title.endswith(suffix):
                    return self.title.removesuffix(suffix)
        return self.title

    @property
    def inbox_target(self) -> str | None:
        """The agent a message is addressed to."""
        target = self.metadata.get("target_agent_id")
        return target if isinstance(target, str) and target else None

    @property
    def scope(self) -> str:
        """The scope word; absent or unknown words read as private."""
        scope = self.metadata.get("scope")
        return scope if isinstance(scope, str) and scope in SCOPES else "private"


@dataclass(frozen=True, slots=True)
class ArchivedMemory:
    """A row of the archive: the memory as it was, when and why it left."""

    memory: Memory
    archived_at: str
    archive_reason: str


@dataclass(frozen=True, slots=True)
class MemoryLink:
    """A typed, directed, dated link between two memories (http-api 2.7)."""

    source_id: str
    target_id: str
    relation: str
    created_at: str
    valid_from: str | None = None
    valid_until: str | None = None
    observed_by: str | None = None
    attest_level: str | None = None
    signature: bytes | None = None

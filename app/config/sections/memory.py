"""How long memories live, how they are ranked, where they are kept and how many there may be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.config.key import Key, OnInvalid
from app.config.section import Section
from app.config.values import (
    Extension,
    Flag,
    HalfLife,
    Lifetime,
    Limit,
    NonEmpty,
    NotNegative,
    PageSize,
    Positive,
    Retention,
    SomeRetention,
)


class Ttl(Section):
    """Life of a memory, by tier."""

    short_ttl_secs: Annotated[
        Lifetime,
        Key(
            "Life of a short-tier memory.",
            unit="seconds",
            note="0 or below: never expires; at most ten years",
        ),
    ] = 21_600
    mid_ttl_secs: Annotated[
        Lifetime,
        Key(
            "Life of a mid-tier memory.",
            unit="seconds",
            note="0 or below: never expires; at most ten years",
        ),
    ] = 604_800
    long_ttl_secs: Annotated[
        Lifetime,
        Key(
            "Life of a long-tier memory.",
            unit="seconds",
            note="unset, 0 or below: never expires; at most ten years",
        ),
    ] = None
    short_extend_secs: Annotated[
        Extension,
        Key(
            "What a recall adds to the life of a short-tier memory.",
            unit="seconds",
            note="below 0 counts as 0",
        ),
    ] = 3_600
    mid_extend_secs: Annotated[
        Extension,
        Key(
            "What a recall adds to the life of a mid-tier memory.",
            unit="seconds",
            note="below 0 counts as 0",
        ),
    ] = 86_400


class Scoring(Section):
    """Ranking of recalled memories."""

    half_life_days_short: Annotated[
        HalfLife,
        Key(
            "Age at which a short-tier memory counts half.",
            unit="days",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="brought into 0.1 .. 36500",
        ),
    ] = 7.0
    half_life_days_mid: Annotated[
        HalfLife,
        Key(
            "Age at which a mid-tier memory counts half.",
            unit="days",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="brought into 0.1 .. 36500",
        ),
    ] = 30.0
    half_life_days_long: Annotated[
        HalfLife,
        Key(
            "Age at which a long-tier memory counts half.",
            unit="days",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="brought into 0.1 .. 36500",
        ),
    ] = 365.0
    legacy_scoring: Annotated[
        Flag, Key("Rank by the weights of v0.7.0, without the decay of old memories.")
    ] = False


class Storage(Section):
    """The database file and what garbage collection does."""

    default_namespace: Annotated[
        NonEmpty | None,
        Key(
            "Namespace of a memory stored from the command line without one.",
            legacy=("default_namespace",),
            note="unset: name of the git origin, else of the working directory, else `global`",
        ),
    ] = None
    archive_on_gc: Annotated[
        Flag,
        Key(
            "Move expired memories to the archive; false deletes them.",
            legacy=("archive_on_gc",),
        ),
    ] = True
    archive_max_days: Annotated[
        NotNegative | None,
        Key(
            "Garbage collection also purges archived memories older than this.",
            unit="days",
            legacy=("archive_max_days",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note="unset: never",
        ),
    ] = None
    max_memory_mb: Annotated[
        NotNegative | None,
        Key(
            "Memory budget from which a tier is picked.",
            unit="MB",
            legacy=("max_memory_mb",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note="unset: 0, 256, 1024 or 4096 by tier",
        ),
    ] = None
    db_mmap_size_bytes: Annotated[
        NotNegative,
        Key(
            "How much of the database file a node maps into memory, over all its connections.",
            unit="bytes",
            env=("AI_MEMORY_DB_MMAP_SIZE",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note="0 turns it off",
        ),
    ] = 268_435_456
    near_duplicate: Annotated[
        Literal["text", "sync", "off"],
        Key(
            "When a store looks for a near-duplicate: by its text at once, by meaning "
            "before it answers, or not at all.",
            ours=True,
        ),
    ] = "text"


class Limits(Section):
    """Quotas of an agent in a namespace, and the largest page."""

    max_memories_per_day: Annotated[
        Limit,
        Key(
            "Memories that an agent may store in a namespace in a UTC day.",
            unit="memories",
            env=("AI_MEMORY_MAX_MEMORIES_PER_DAY",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note='above 0, or (ours) `"unlimited"`',
        ),
    ] = 1_000
    max_storage_bytes: Annotated[
        Limit,
        Key(
            "Bytes of text that an agent may keep in a namespace.",
            unit="bytes",
            env=("AI_MEMORY_MAX_STORAGE_BYTES",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note='above 0, or (ours) `"unlimited"`',
        ),
    ] = 104_857_600
    max_links_per_day: Annotated[
        Limit,
        Key(
            "Links that an agent may make in a namespace in a UTC day.",
            unit="links",
            env=("AI_MEMORY_MAX_LINKS_PER_DAY",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note='above 0, or (ours) `"unlimited"`',
        ),
    ] = 5_000
    max_page_size: Annotated[
        PageSize,
        Positive,
        Retention,
        SomeRetention,
        Key(
            "Most rows of a list page, a bulk create and a sync push.",
            unit="rows",
            env=("AI_MEMORY_MAX_PAGE_SIZE",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note='above 0; `"unlimited"` is warned about and not taken',
        ),
    ] = 1_000


class TranscriptRule(Section):
    """What differs in the namespaces of one pattern."""

    default_ttl_secs: SomeRetention = None
    archive_grace_secs: SomeRetention = None
    auto_extract: Flag | None = None


class Recording(Section):
    """What recall notes down about itself."""

    observations_ttl_days: Annotated[
        NotNegative,
        Key(
            "How long notes of what a recall returned are kept.",
            unit="days",
            env=("AI_MEMORY_OBSERVATIONS_TTL_DAYS",),
            on_invalid=OnInvalid.NEXT_LAYER,
            in_file=False,
        ),
    ] = 7


class Logging(Section):
    """The service's own log files."""

    enabled: Annotated[Flag, Key("Write log files beside standard error.")] = False
    path: Annotated[
        Path | None,
        Key(
            "Folder of the log files.",
            env=("AI_MEMORY_LOG_DIR",),
            flag="logs --log-dir",
            note="unset: the platform's folder for logs; a world-writable folder is refused",
        ),
    ] = None
    max_size_mb: Annotated[
        NotNegative,
        Key("Advised size of one file.", unit="MB", on_invalid=OnInvalid.NEXT_LAYER),
    ] = 100
    max_files: Annotated[
        NotNegative, Key("Files kept.", unit="files", on_invalid=OnInvalid.NEXT_LAYER)
    ] = 30
    retention_days: Annotated[
        NotNegative,
        Key("Age of the oldest file kept.", unit="days", on_invalid=OnInvalid.NEXT_LAYER),
    ] = 90
    structured: Annotated[Flag, Key("One JSON object a line instead of text.")] = False
    level: Annotated[
        NonEmpty, Key("Least severe level logged, or a filter directive.", env=("RUST_LOG",))
    ] = "info"
    rotation: Annotated[
        Literal["minutely", "hourly", "daily", "never"], Key("When a new file is begun.")
    ] = "daily"
    filename_prefix: Annotated[NonEmpty, Key("Beginning of a log file's name.")] = "ai-memory.log"


class Transcripts(Section):
    """Kept conversations."""

    default_ttl_secs: Annotated[
        Retention,
        Key(
            "Age at which a transcript may be archived.",
            unit="seconds",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="above 0, at most ten years",
        ),
    ] = 2_592_000
    archive_grace_secs: Annotated[
        Retention,
        Key(
            "Time in the archive after which a transcript is pruned.",
            unit="seconds",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="above 0, at most ten years",
        ),
    ] = 604_800
    max_decompressed_bytes: Annotated[
        Positive,
        Key(
            "Largest transcript that is unpacked.",
            unit="bytes",
            on_invalid=OnInvalid.NEXT_LAYER,
        ),
    ] = 16_777_216
    namespaces: Annotated[
        Mapping[str, TranscriptRule],
        Key(
            "Per namespace (exact name, `prefix/*` or `*`): `default_ttl_secs`, "
            "`archive_grace_secs`, `auto_extract`."
        ),
    ] = Field(default_factory=dict)

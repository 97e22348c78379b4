"""Aliases, transcripts, skills, observations, offloaded texts, as in v0.7.0; the version table."""

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)

from app.store.tables.schema_metadata import metadata
from app.store.tables.types import COUNTER, FLAG, SCORE, JsonText, Timestamp, utc_now

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

entity_aliases = Table(
    "entity_aliases",
    metadata,
    Column("entity_id", Text, nullable=False),
    Column("alias", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    PrimaryKeyConstraint("entity_id", "alias"),
)
Index("idx_entity_aliases_alias", entity_aliases.c.alias)

memory_transcripts = Table(
    "memory_transcripts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp),
    Column("compressed_size", COUNTER, nullable=False),
    Column("original_size", COUNTER, nullable=False),
    Column("zstd_level", COUNTER, nullable=False, server_default=text("3")),
    Column("content_blob", LargeBinary, nullable=False),
    Column("archived_at", Timestamp),
)
Index(
    "idx_transcripts_namespace_created",
    memory_transcripts.c.namespace,
    memory_transcripts.c.created_at,
)
_ARCHIVED = text("archived_at IS NOT NULL")
Index(
    "idx_transcripts_archived_at",
    memory_transcripts.c.archived_at,
    sqlite_where=_ARCHIVED,
    postgresql_where=_ARCHIVED,
)

memory_transcript_links = Table(
    "memory_transcript_links",
    metadata,
    Column("memory_id", Text, nullable=False),
    Column("transcript_id", Text, nullable=False),
    Column("span_start", COUNTER),
    Column("span_end", COUNTER),
    PrimaryKeyConstraint("memory_id", "transcript_id"),
    ForeignKeyConstraint(["memory_id"], ["memories.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
    ForeignKeyConstraint(["transcript_id"], ["memory_transcripts.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
)
Index("idx_transcript_links_memory", memory_transcript_links.c.memory_id)
Index("idx_transcript_links_transcript", memory_transcript_links.c.transcript_id)

transcript_line_dedup = Table(
    "transcript_line_dedup",
    metadata,
    Column("sha256", LargeBinary, primary_key=True, nullable=False),
    Column("memory_id", Text, nullable=False),
    Column("host_kind", Text, nullable=False),
    Column("transcript_path", Text),
    Column("host_session_id", Text),
    Column("host_turn_index", COUNTER),
    Column("recovered_at", COUNTER, nullable=False, comment="seconds since 1970"),
    sqlite_with_rowid=False,
)
_IN_SESSION = text("host_session_id IS NOT NULL")
Index(
    "idx_transcript_line_dedup_turn",
    transcript_line_dedup.c.host_session_id,
    transcript_line_dedup.c.host_turn_index,
    sqlite_where=_IN_SESSION,
    postgresql_where=_IN_SESSION,
)
Index(
    "idx_transcript_line_dedup_recovered",
    transcript_line_dedup.c.recovered_at,
    transcript_line_dedup.c.host_kind,
)

skills = Table(
    "skills",
    metadata,
    Column("id", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("license", Text),
    Column("compatibility", Text),
    Column("allowed_tools", JsonText),
    Column("metadata", JsonText, nullable=False, server_default="{}"),
    Column("body_blob", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("signature", LargeBinary),
    Column("signing_agent", Text),
    Column("created_at", COUNTER, nullable=False, comment="seconds since 1970"),
    Column("superseded_by", Text),
    ForeignKeyConstraint(["superseded_by"], ["skills.id"]).ddl_if(dialect="sqlite"),
)
Index("idx_skills_namespace_name", skills.c.namespace, skills.c.name)
Index("idx_skills_superseded_by", skills.c.superseded_by)

skill_resources = Table(
    "skill_resources",
    metadata,
    Column("skill_id", Text, nullable=False),
    Column("resource_path", Text, nullable=False),
    Column("resource_kind", Text, nullable=False),
    Column("content_blob", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("signature", LargeBinary),
    PrimaryKeyConstraint("skill_id", "resource_path"),
    ForeignKeyConstraint(["skill_id"], ["skills.id"], ondelete="CASCADE").ddl_if(dialect="sqlite"),
)

confidence_shadow_observations = Table(
    "confidence_shadow_observations",
    metadata,
    Column("id", COUNTER, primary_key=True),
    Column("memory_id", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("source", Text, nullable=False, server_default="unknown"),
    Column("caller_confidence", SCORE, nullable=False),
    Column("derived_confidence", SCORE, nullable=False),
    Column("signals", JsonText, nullable=False),
    Column("recall_outcome", Text),
    Column("observed_at", Text, nullable=False),
    ForeignKeyConstraint(["memory_id"], ["memories.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
    sqlite_autoincrement=True,
)
Index("idx_shadow_namespace", confidence_shadow_observations.c.namespace)
Index("idx_shadow_observed_at", confidence_shadow_observations.c.observed_at)
Index("idx_shadow_memory", confidence_shadow_observations.c.memory_id)
Index(
    "idx_shadow_namespace_source",
    confidence_shadow_observations.c.namespace,
    confidence_shadow_observations.c.source,
    confidence_shadow_observations.c.observed_at,
)

recall_observations = Table(
    "recall_observations",
    metadata,
    Column("recall_id", Text, nullable=False),
    Column("memory_id", Text, nullable=False),
    Column("retriever", Text, nullable=False),
    Column("rank", COUNTER, nullable=False),
    Column("score", SCORE, nullable=False),
    Column("consumed", FLAG, nullable=False, server_default=false()),
    Column("observed_at", Timestamp, nullable=False, server_default=utc_now()),
    Column("consumed_at", Timestamp),
    Column("consumed_by_memory_id", Text),
    PrimaryKeyConstraint("recall_id", "memory_id"),
    ForeignKeyConstraint(["memory_id"], ["memories.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
    ForeignKeyConstraint(["consumed_by_memory_id"], ["memories.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
)
Index("idx_recall_observations_recall", recall_observations.c.recall_id)
Index("idx_recall_observations_memory", recall_observations.c.memory_id)
Index("idx_recall_observations_observed", recall_observations.c.observed_at)

offloaded_blobs = Table(
    "offloaded_blobs",
    metadata,
    Column("ref_id", Text, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("content_zstd", LargeBinary, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("stored_at", COUNTER, nullable=False, comment="seconds since 1970"),
    Column("ttl_seconds", COUNTER),
    Column("agent_id", Text, nullable=False),
    Column("signature_b64", Text, nullable=False),
)
Index("idx_offloaded_blobs_namespace", offloaded_blobs.c.namespace)
_EXPIRING = text("ttl_seconds IS NOT NULL")
Index(
    "idx_offloaded_blobs_expiry",
    offloaded_blobs.c.stored_at,
    offloaded_blobs.c.ttl_seconds,
    sqlite_where=_EXPIRING,
    postgresql_where=_EXPIRING,
)

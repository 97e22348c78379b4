"""Memories, links and the archive, as in v0.7.0: projections of the state that the log builds.

The foreign keys of v0.7.0 are declared on SQLite only and never enforced (our connections leave
`foreign_keys` off): partial state is legal, and a link whose end is missing is not shown. So no
delete cascades: who removes a memory removes its links.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from app.store.tables.schema_metadata import metadata
from app.store.tables.types import COUNTER, SCORE, Embedding, JsonText, MetadataKey, Timestamp

memories = Table(
    "memories",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("namespace", Text, nullable=False, server_default="global"),
    Column("title", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("tags", JsonText, nullable=False, server_default="[]"),
    Column("priority", COUNTER, nullable=False, server_default=text("5")),
    Column("confidence", SCORE, nullable=False, server_default=text("1.0")),
    Column("source", Text, nullable=False, server_default="api"),
    Column("access_count", COUNTER, nullable=False, server_default=text("0")),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("last_accessed_at", Timestamp),
    Column("expires_at", Timestamp),
    Column("metadata", JsonText, nullable=False, server_default="{}"),
    Column("embedding", Embedding),
    Column("embedding_dim", COUNTER),
    Column("scope_idx", Text, MetadataKey("scope", default="private")),
    Column("agent_id_idx", Text, MetadataKey("agent_id")),
    Column("reflection_depth", COUNTER, nullable=False, server_default=text("0")),
    Column("memory_kind", Text, nullable=False, server_default="observation"),
    Column("atomised_into", COUNTER),
    Column("atom_of", Text),
    Column("entity_id", Text),
    Column("persona_version", COUNTER),
    Column("citations", Text, nullable=False, server_default="[]"),
    Column("source_uri", Text),
    Column("source_span", Text),
    Column("confidence_source", Text, nullable=False, server_default="caller_provided"),
    Column("confidence_signals", Text),
    Column("confidence_decayed_at", Text),
    Column("mentioned_entity_id", Text),
    Column("encrypted_envelope", LargeBinary),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    ForeignKeyConstraint(["atom_of"], ["memories.id"]).ddl_if(dialect="sqlite"),
    # On SQLite these rules are triggers (see triggers.py), as in v0.7.0.
    CheckConstraint("tier IN ('short', 'mid', 'long')", name="memories_tier_check").ddl_if(
        dialect="postgresql"
    ),
    CheckConstraint("priority BETWEEN 1 AND 10", name="memories_priority_check").ddl_if(
        dialect="postgresql"
    ),
    CheckConstraint("confidence BETWEEN 0 AND 1", name="memories_confidence_check").ddl_if(
        dialect="postgresql"
    ),
    CheckConstraint("jsonb_typeof(metadata) = 'object'", name="memories_metadata_object").ddl_if(
        dialect="postgresql"
    ),
)

Index("idx_memories_title_ns", memories.c.title, memories.c.namespace, unique=True)
Index("idx_memories_tier", memories.c.tier)
Index("idx_memories_namespace", memories.c.namespace)
Index("idx_memories_priority", memories.c.priority.desc())
Index("idx_memories_expires", memories.c.expires_at)
Index("idx_memories_created_at", memories.c.created_at)
Index("idx_memories_updated_at", memories.c.updated_at)
Index("idx_memories_scope_idx", memories.c.scope_idx)
Index("idx_memories_agent_id_idx", memories.c.agent_id_idx)
Index("idx_memories_memory_kind", memories.c.memory_kind)
Index("idx_memories_list_order", memories.c.priority.desc(), memories.c.updated_at.desc())
Index(
    "idx_memories_ns_list_order",
    memories.c.namespace,
    memories.c.priority.desc(),
    memories.c.updated_at.desc(),
)


def _partial_index(name: str, columns: tuple[Column[str] | Column[int], ...], where: str) -> None:
    Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


_partial_index(
    "idx_memories_embedding_dim", (memories.c.embedding_dim,), "embedding_dim IS NOT NULL"
)
_partial_index(
    "idx_memories_ns_embedding_dim",
    (memories.c.namespace, memories.c.embedding_dim),
    "embedding_dim IS NOT NULL",
)
_partial_index("idx_memories_atom_of", (memories.c.atom_of,), "atom_of IS NOT NULL")
_partial_index("idx_memories_atomised_into", (memories.c.atomised_into,), "atomised_into > 0")
_partial_index("idx_memories_source_uri", (memories.c.source_uri,), "source_uri IS NOT NULL")
_partial_index(
    "idx_memories_confidence_source",
    (memories.c.confidence_source,),
    "confidence_source <> 'caller_provided'",
)
_partial_index(
    "idx_personas_by_entity",
    (memories.c.entity_id, memories.c.namespace),
    "memory_kind = 'persona'",
)
_partial_index(
    "idx_memories_mentioned_entity",
    (memories.c.mentioned_entity_id, memories.c.namespace),
    "memory_kind = 'reflection'",
)

Index("idx_memories_tags_gin", memories.c.tags, postgresql_using="gin").ddl_if(dialect="postgresql")
Index("idx_memories_metadata_gin", memories.c.metadata, postgresql_using="gin").ddl_if(
    dialect="postgresql"
)
Index(
    "memories_embedding_hnsw",
    memories.c.embedding,
    postgresql_using="hnsw",
    postgresql_ops={"embedding": "vector_cosine_ops"},
).ddl_if(dialect="postgresql")
Index(
    "idx_memories_namespace_prefix",
    memories.c.namespace,
    postgresql_ops={"namespace": "text_pattern_ops"},
).ddl_if(dialect="postgresql")

Index(
    "idx_memories_unembedded",
    memories.c.created_at,
    memories.c.id,
    postgresql_where=text("embedding_dim IS NULL"),
).ddl_if(dialect="postgresql")

memory_links = Table(
    "memory_links",
    metadata,
    Column("source_id", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("relation", Text, nullable=False, server_default="related_to"),
    Column("created_at", Timestamp, nullable=False),
    Column("valid_from", Timestamp),
    Column("valid_until", Timestamp),
    Column("observed_by", Text),
    Column("signature", LargeBinary),
    Column("attest_level", Text),
    PrimaryKeyConstraint("source_id", "target_id", "relation"),
    CheckConstraint(
        "relation IN ('related_to', 'supersedes', 'contradicts',"
        " 'derived_from', 'reflects_on', 'derives_from')",
        name="memory_links_relation_check",
    ),
    ForeignKeyConstraint(["source_id"], ["memories.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
    ForeignKeyConstraint(["target_id"], ["memories.id"], ondelete="CASCADE").ddl_if(
        dialect="sqlite"
    ),
    CheckConstraint(
        "attest_level IS NULL OR attest_level IN ('unsigned', 'self_signed', 'peer_attested')",
        name="memory_links_attest_level_check",
    ).ddl_if(dialect="postgresql"),
    CheckConstraint(
        "attest_level IS NULL OR attest_level = 'unsigned'"
        " OR (signature IS NOT NULL AND octet_length(signature) = 64)",
        name="memory_links_attested_is_signed",
    ).ddl_if(dialect="postgresql"),
)

Index(
    "idx_links_temporal_src",
    memory_links.c.source_id,
    memory_links.c.valid_from,
    memory_links.c.valid_until,
)
Index(
    "idx_links_temporal_tgt",
    memory_links.c.target_id,
    memory_links.c.valid_from,
    memory_links.c.valid_until,
)
Index("idx_links_relation", memory_links.c.relation, memory_links.c.valid_from)
Index("idx_memory_links_attest_level", memory_links.c.attest_level, memory_links.c.created_at)

archived_memories = Table(
    "archived_memories",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("namespace", Text, nullable=False, server_default="global"),
    Column("title", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("tags", JsonText, nullable=False, server_default="[]"),
    Column("priority", COUNTER, nullable=False, server_default=text("5")),
    Column("confidence", SCORE, nullable=False, server_default=text("1.0")),
    Column("source", Text, nullable=False, server_default="api"),
    Column("access_count", COUNTER, nullable=False, server_default=text("0")),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Column("last_accessed_at", Timestamp),
    Column("expires_at", Timestamp),
    Column("archived_at", Timestamp, nullable=False),
    Column("archive_reason", Text, nullable=False, server_default="ttl_expired"),
    Column("metadata", JsonText, nullable=False, server_default="{}"),
    Column("embedding", Embedding),
    Column("embedding_dim", COUNTER),
    Column("original_tier", Text),
    Column("original_expires_at", Timestamp),
    # The rest came with version 49, as nullable columns without defaults.
    Column("reflection_depth", COUNTER),
    Column("atomised_into", COUNTER),
    Column("atom_of", Text),
    Column("memory_kind", Text),
    Column("entity_id", Text),
    Column("persona_version", COUNTER),
    Column("citations", Text),
    Column("source_uri", Text),
    Column("source_span", Text),
    Column("confidence_source", Text),
    Column("confidence_signals", Text),
    Column("confidence_decayed_at", Text),
    Column("mentioned_entity_id", Text),
    Column("version", BigInteger),
)

Index("idx_archived_namespace", archived_memories.c.namespace)
Index("idx_archived_at", archived_memories.c.archived_at)
Index(
    "idx_archived_ns_archived_at",
    archived_memories.c.namespace,
    archived_memories.c.archived_at.desc(),
)

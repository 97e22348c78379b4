"""Every table of a store, declared once for both databases.

`metadata.create_all` makes on SQLite exactly what the migrations make (a test holds them equal).
This package says what the columns are. What the rows mean is `app.log`'s business, and who reads
and writes them the adapters'.
"""

from app.store.tables.cognition import (
    confidence_shadow_observations,
    entity_aliases,
    memory_transcript_links,
    memory_transcripts,
    offloaded_blobs,
    recall_observations,
    schema_version,
    skill_resources,
    skills,
    transcript_line_dedup,
)
from app.store.tables.delivery import (
    federation_nonce_cache,
    federation_push_dlq,
    subscription_dlq,
    subscription_events,
    subscriptions,
    sync_state,
)
from app.store.tables.governance import (
    agent_quotas,
    audit_log,
    governance_rules,
    namespace_meta,
    pending_actions,
    signed_events,
    signed_events_dlq,
)
from app.store.tables.memories import archived_memories, memories, memory_links
from app.store.tables.node import (
    digest_buckets,
    digest_deltas,
    graph_cursors,
    graph_waiting,
    log_entries,
    log_members,
    log_origins,
    log_quarantine,
    member_cursors,
    memory_state,
    memory_vectors,
    name_claims,
    node_leases,
    record_state,
    store_identity,
    text_duplicates,
    tombstones,
)
from app.store.tables.schema_metadata import CURRENT_SCHEMA_VERSION, metadata
from app.store.tables.triggers import FULL_TEXT, LINK_CHECKS, MEMORY_CHECKS

__all__ = [
    "CURRENT_SCHEMA_VERSION",
    "FULL_TEXT",
    "LINK_CHECKS",
    "MEMORY_CHECKS",
    "agent_quotas",
    "archived_memories",
    "audit_log",
    "confidence_shadow_observations",
    "digest_buckets",
    "digest_deltas",
    "entity_aliases",
    "federation_nonce_cache",
    "federation_push_dlq",
    "governance_rules",
    "graph_cursors",
    "graph_waiting",
    "log_entries",
    "log_members",
    "log_origins",
    "log_quarantine",
    "member_cursors",
    "memories",
    "memory_links",
    "memory_state",
    "memory_transcript_links",
    "memory_transcripts",
    "memory_vectors",
    "metadata",
    "name_claims",
    "namespace_meta",
    "node_leases",
    "offloaded_blobs",
    "pending_actions",
    "recall_observations",
    "record_state",
    "schema_version",
    "signed_events",
    "signed_events_dlq",
    "skill_resources",
    "skills",
    "store_identity",
    "subscription_dlq",
    "subscription_events",
    "subscriptions",
    "sync_state",
    "text_duplicates",
    "tombstones",
    "transcript_line_dedup",
]

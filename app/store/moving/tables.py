"""What becomes of each table in a move. A test holds that every table is named once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.store import tables as t

if TYPE_CHECKING:
    from sqlalchemy import Table

STATES: Final = (t.memory_state, t.record_state)
"""Copied byte for byte; with each the write engine writes what it shows."""

SHOWN: Final = (
    t.memories,
    t.archived_memories,
    t.memory_links,
    t.entity_aliases,
    t.namespace_meta,
    t.log_members,
    t.name_claims,
)
"""Written by the engine from the states; counted afterwards."""

COPIED: Final[tuple[Table, ...]] = (
    # Vectors come before the states, whose rows show them.
    t.memory_vectors,
    t.log_entries,
    t.log_signatures,
    t.log_quarantine,
    t.member_cursors,
    t.tombstones,
    t.text_duplicates,
    t.pending_actions,
    t.agent_quotas,
    t.subscriptions,
    t.subscription_events,
    t.subscription_dlq,
    t.governance_rules,
    t.signed_events,
    t.signed_events_dlq,
    t.audit_log,
    t.skills,
    t.skill_resources,
    t.memory_transcripts,
    t.memory_transcript_links,
    t.transcript_line_dedup,
    t.offloaded_blobs,
    t.recall_observations,
    t.confidence_shadow_observations,
    t.federation_nonce_cache,
    t.federation_push_dlq,
    t.sync_state,
    t.peer_pins,
    t.idempotency_keys,
)
"""Copied row by row."""

ORIGINS: Final = t.log_origins
"""Every origin moves, each as a foreign one: the new store writes under an origin of its own."""

DIGESTS: Final = (t.digest_buckets, t.digest_deltas)
"""Summed up anew while the states are written."""

OWN: Final = (
    t.store_identity,
    t.node_leases,
    t.schema_version,
    t.graph_cursors,
    t.graph_waiting,
)
"""Say which store this is and how far its graph is; they stay where they are."""

SEEDED: Final = frozenset({t.governance_rules.name})
"""Hold rows in a new store already."""

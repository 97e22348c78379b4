"""The tables of v0.7.0 at version 57, column by column, as its description has them.

A line is a table; `name TYPE`, `!` for NOT NULL, `*` for part of the primary key, `=default`.
"""

from typing import Final

V57_COLUMNS: Final[dict[str, str]] = {
    "schema_version": "version INTEGER!",
    "memories": """
        id TEXT*, tier TEXT!, namespace TEXT! ='global', title TEXT!, content TEXT!,
        tags TEXT! ='[]', priority INTEGER! =5, confidence REAL! =1.0, source TEXT! ='api',
        access_count INTEGER! =0,
        created_at TEXT!, updated_at TEXT!, last_accessed_at TEXT, expires_at TEXT,
        metadata TEXT! ='{}', embedding BLOB, embedding_dim INTEGER, scope_idx TEXT,
        agent_id_idx TEXT, reflection_depth INTEGER! =0, memory_kind TEXT! ='observation',
        atomised_into INTEGER, atom_of TEXT, entity_id TEXT, persona_version INTEGER,
        citations TEXT! ='[]', source_uri TEXT, source_span TEXT,
        confidence_source TEXT! ='caller_provided', confidence_signals TEXT,
        confidence_decayed_at TEXT, mentioned_entity_id TEXT, encrypted_envelope BLOB,
        version BIGINT! =1""",
    "memory_links": """
        source_id TEXT*!, target_id TEXT*!, relation TEXT*! ='related_to', created_at TEXT!,
        valid_from TEXT, valid_until TEXT, observed_by TEXT, signature BLOB, attest_level TEXT""",
    "archived_memories": """
        id TEXT*, tier TEXT!, namespace TEXT! ='global', title TEXT!, content TEXT!,
        tags TEXT! ='[]', priority INTEGER! =5, confidence REAL! =1.0, source TEXT! ='api',
        access_count INTEGER! =0,
        created_at TEXT!, updated_at TEXT!, last_accessed_at TEXT, expires_at TEXT,
        metadata TEXT! ='{}', archived_at TEXT!, archive_reason TEXT! ='ttl_expired',
        embedding BLOB, embedding_dim INTEGER, original_tier TEXT, original_expires_at TEXT,
        reflection_depth INTEGER, atomised_into INTEGER, atom_of TEXT, memory_kind TEXT,
        entity_id TEXT, persona_version INTEGER, citations TEXT, source_uri TEXT, source_span TEXT,
        confidence_source TEXT, confidence_signals TEXT, confidence_decayed_at TEXT,
        mentioned_entity_id TEXT, version BIGINT""",
    "namespace_meta": "namespace TEXT*, standard_id TEXT, parent_namespace TEXT, updated_at TEXT!",
    "pending_actions": """
        id TEXT*, action_type TEXT!, memory_id TEXT, namespace TEXT!, payload TEXT! ='{}',
        requested_by TEXT!, requested_at TEXT!, status TEXT! ='pending', decided_by TEXT,
        decided_at TEXT, approvals TEXT! ='[]', default_timeout_seconds INTEGER, expired_at TEXT""",
    "governance_rules": """
        id TEXT*, kind TEXT!, matcher TEXT!, severity TEXT!, reason TEXT!,
        namespace TEXT! ='_global', created_by TEXT!, created_at INTEGER!, enabled INTEGER! =1,
        signature BLOB, attest_level TEXT! ='unsigned'""",
    "signed_events": """
        id TEXT*, agent_id TEXT!, event_type TEXT!, payload_hash BLOB!, signature BLOB,
        attest_level TEXT! ='unsigned', timestamp TEXT!, prev_hash BLOB, sequence INTEGER""",
    "signed_events_dlq": """
        dlq_id INTEGER*, id TEXT!, agent_id TEXT!, event_type TEXT!, payload_hash BLOB!,
        signature BLOB, attest_level TEXT!, timestamp TEXT!, failure_reason TEXT!,
        failed_at TEXT!""",
    "audit_log": """
        id TEXT*, agent_id TEXT, event_type TEXT!, requested_family TEXT, granted INTEGER!,
        attestation_tier TEXT, timestamp TEXT!""",
    "sync_state": """
        agent_id TEXT*!, peer_id TEXT*!, last_seen_at TEXT!, last_pulled_at TEXT!,
        last_pushed_at TEXT""",
    "federation_push_dlq": """
        id INTEGER*, memory_id TEXT!, peer_id TEXT!, payload_json TEXT!, attempt_count INTEGER! =1,
        last_error TEXT!, failed_at TEXT!, replayed_at TEXT""",
    "federation_nonce_cache": """
        peer_id TEXT*!, fingerprint BLOB*!, last_touch INTEGER!, inserted_at TEXT!""",
    "subscriptions": """
        id TEXT*, url TEXT!, events TEXT! ='*', secret_hash TEXT, namespace_filter TEXT,
        agent_filter TEXT, created_by TEXT, created_at TEXT!, last_dispatched_at TEXT,
        dispatch_count INTEGER! =0, failure_count INTEGER! =0, event_types TEXT""",
    "subscription_events": """
        id INTEGER*, subscription_id TEXT!, correlation_id TEXT! ='', event_type TEXT!,
        payload TEXT!, delivered_at TEXT!, delivery_status TEXT! ='pending'""",
    "subscription_dlq": """
        id INTEGER*, subscription_id TEXT!, correlation_id TEXT!, event_type TEXT!, payload TEXT!,
        retry_count INTEGER!, last_error TEXT!, first_failed_at TEXT!, last_failed_at TEXT!""",
    "entity_aliases": "entity_id TEXT*!, alias TEXT*!, created_at TEXT!",
    "agent_quotas": """
        agent_id TEXT*!, namespace TEXT*! ='_global', max_memories_per_day INTEGER! =1000,
        max_storage_bytes INTEGER! =104857600, max_links_per_day INTEGER! =5000,
        current_memories_today INTEGER! =0, current_storage_bytes INTEGER! =0,
        current_links_today INTEGER! =0, day_started_at TEXT!, created_at TEXT!,
        updated_at TEXT!""",
    "memory_transcripts": """
        id TEXT*, namespace TEXT!, created_at TEXT!, expires_at TEXT, compressed_size INTEGER!,
        original_size INTEGER!, zstd_level INTEGER! =3, content_blob BLOB!, archived_at TEXT""",
    "memory_transcript_links": """
        memory_id TEXT*!, transcript_id TEXT*!, span_start INTEGER, span_end INTEGER""",
    "transcript_line_dedup": """
        sha256 BLOB*!, memory_id TEXT!, host_kind TEXT!, transcript_path TEXT, host_session_id TEXT,
        host_turn_index INTEGER, recovered_at INTEGER!""",
    "skills": """
        id TEXT*, namespace TEXT!, name TEXT!, description TEXT!, license TEXT, compatibility TEXT,
        allowed_tools TEXT, metadata TEXT! ='{}', body_blob BLOB!, digest BLOB!, signature BLOB,
        signing_agent TEXT, created_at INTEGER!, superseded_by TEXT""",
    "skill_resources": """
        skill_id TEXT*!, resource_path TEXT*!, resource_kind TEXT!, content_blob BLOB!,
        digest BLOB!, signature BLOB""",
    "confidence_shadow_observations": """
        id INTEGER*, memory_id TEXT!, namespace TEXT!, source TEXT! ='unknown',
        caller_confidence REAL!, derived_confidence REAL!, signals TEXT!, recall_outcome TEXT,
        observed_at TEXT!""",
    "recall_observations": """
        recall_id TEXT*!, memory_id TEXT*!, retriever TEXT!, rank INTEGER!, score REAL!,
        consumed INTEGER! =0, observed_at TEXT! =now, consumed_at TEXT,
        consumed_by_memory_id TEXT""",
    "offloaded_blobs": """
        ref_id TEXT*, namespace TEXT!, content_zstd BLOB!, content_sha256 TEXT!,
        stored_at INTEGER!, ttl_seconds INTEGER, agent_id TEXT!, signature_b64 TEXT!""",
}

# Columns after `DESC` sort down; `?` marks a partial index.
V57_NAMED_INDEXES: Final[dict[str, str]] = {
    "idx_memories_title_ns": "UNIQUE memories(title, namespace)",
    "idx_memories_updated_at": "memories(updated_at)",
    "idx_memories_list_order": "memories(priority DESC, updated_at DESC)",
    "idx_memories_ns_list_order": "memories(namespace, priority DESC, updated_at DESC)",
    "idx_personas_by_entity": "memories(entity_id, namespace)?",
    "idx_memories_mentioned_entity": "memories(mentioned_entity_id, namespace)?",
    "idx_links_temporal_src": "memory_links(source_id, valid_from, valid_until)",
    "idx_links_temporal_tgt": "memory_links(target_id, valid_from, valid_until)",
    "idx_links_relation": "memory_links(relation, valid_from)",
    "idx_memory_links_attest_level": "memory_links(attest_level, created_at)",
    "idx_archived_ns_archived_at": "archived_memories(namespace, archived_at DESC)",
}

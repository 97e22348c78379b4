-- The tables of v0.7.0 at schema version 57. Foreign keys are declared, not enforced.

CREATE TABLE agent_quotas (
    agent_id TEXT NOT NULL,
    namespace TEXT DEFAULT '_global' NOT NULL,
    max_memories_per_day INTEGER DEFAULT 1000 NOT NULL,
    max_storage_bytes INTEGER DEFAULT 104857600 NOT NULL,
    max_links_per_day INTEGER DEFAULT 5000 NOT NULL,
    current_memories_today INTEGER DEFAULT 0 NOT NULL,
    current_storage_bytes INTEGER DEFAULT 0 NOT NULL,
    current_links_today INTEGER DEFAULT 0 NOT NULL,
    day_started_at TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (agent_id, namespace)
);
CREATE INDEX idx_agent_quotas_agent ON agent_quotas (agent_id);
CREATE INDEX idx_agent_quotas_namespace ON agent_quotas (namespace, agent_id);

CREATE TABLE archived_memories (
    id TEXT NOT NULL,
    tier TEXT NOT NULL,
    namespace TEXT DEFAULT 'global' NOT NULL,
    title TEXT NOT NULL,
    content TEXT NOT NULL,
    tags TEXT DEFAULT '[]' NOT NULL,
    priority INTEGER DEFAULT 5 NOT NULL,
    confidence REAL DEFAULT (1.0) NOT NULL,
    source TEXT DEFAULT 'api' NOT NULL,
    access_count INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    last_accessed_at TEXT,
    expires_at TEXT,
    archived_at TEXT NOT NULL,
    archive_reason TEXT DEFAULT 'ttl_expired' NOT NULL,
    metadata TEXT DEFAULT '{}' NOT NULL,
    embedding BLOB,
    embedding_dim INTEGER,
    original_tier TEXT,
    original_expires_at TEXT,
    reflection_depth INTEGER,
    atomised_into INTEGER,
    atom_of TEXT,
    memory_kind TEXT,
    entity_id TEXT,
    persona_version INTEGER,
    citations TEXT,
    source_uri TEXT,
    source_span TEXT,
    confidence_source TEXT,
    confidence_signals TEXT,
    confidence_decayed_at TEXT,
    mentioned_entity_id TEXT,
    version BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX idx_archived_at ON archived_memories (archived_at);
CREATE INDEX idx_archived_namespace ON archived_memories (namespace);
CREATE INDEX idx_archived_ns_archived_at ON archived_memories (namespace, archived_at DESC);

CREATE TABLE audit_log (
    id TEXT NOT NULL,
    agent_id TEXT,
    event_type TEXT NOT NULL,
    requested_family TEXT,
    granted INTEGER NOT NULL,
    attestation_tier TEXT,
    timestamp TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_audit_log_agent ON audit_log (agent_id);
CREATE INDEX idx_audit_log_event_type ON audit_log (event_type);
CREATE INDEX idx_audit_log_timestamp ON audit_log (timestamp);

CREATE TABLE entity_aliases (
    entity_id TEXT NOT NULL,
    alias TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (entity_id, alias)
);
CREATE INDEX idx_entity_aliases_alias ON entity_aliases (alias);

CREATE TABLE federation_nonce_cache (
    peer_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    last_touch INTEGER NOT NULL,
    inserted_at TEXT NOT NULL,
    PRIMARY KEY (peer_id, fingerprint)
) WITHOUT ROWID;
CREATE INDEX idx_federation_nonce_peer_touch ON federation_nonce_cache (peer_id, last_touch);
CREATE INDEX idx_federation_nonce_touch ON federation_nonce_cache (last_touch);

CREATE TABLE federation_push_dlq (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    memory_id TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    payload_json TEXT NOT NULL,
    attempt_count INTEGER DEFAULT 1 NOT NULL,
    last_error TEXT NOT NULL,
    failed_at TEXT NOT NULL,
    replayed_at TEXT
);
CREATE INDEX idx_federation_push_dlq_failed_at ON federation_push_dlq (failed_at) WHERE replayed_at IS NULL;
CREATE UNIQUE INDEX idx_federation_push_dlq_memory_peer ON federation_push_dlq (memory_id, peer_id) WHERE replayed_at IS NULL;
CREATE INDEX idx_federation_push_dlq_peer ON federation_push_dlq (peer_id) WHERE replayed_at IS NULL;

CREATE TABLE governance_rules (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    matcher TEXT NOT NULL,
    severity TEXT NOT NULL,
    reason TEXT NOT NULL,
    namespace TEXT DEFAULT '_global' NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    enabled INTEGER DEFAULT 1 NOT NULL,
    signature BLOB,
    attest_level TEXT DEFAULT 'unsigned' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT governance_rules_severity_check CHECK (severity IN ('refuse', 'warn', 'log'))
);
CREATE INDEX idx_governance_rules_kind ON governance_rules (kind, enabled);
CREATE INDEX idx_governance_rules_namespace ON governance_rules (namespace);

CREATE TABLE memories (
    id TEXT NOT NULL,
    tier TEXT NOT NULL,
    namespace TEXT DEFAULT 'global' NOT NULL,
    title TEXT NOT NULL,
    content TEXT NOT NULL,
    tags TEXT DEFAULT '[]' NOT NULL,
    priority INTEGER DEFAULT 5 NOT NULL,
    confidence REAL DEFAULT (1.0) NOT NULL,
    source TEXT DEFAULT 'api' NOT NULL,
    access_count INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    last_accessed_at TEXT,
    expires_at TEXT,
    metadata TEXT DEFAULT '{}' NOT NULL,
    embedding BLOB,
    embedding_dim INTEGER,
    scope_idx TEXT GENERATED ALWAYS AS (COALESCE(json_extract(metadata, '$.scope'), 'private')) VIRTUAL,
    agent_id_idx TEXT GENERATED ALWAYS AS (json_extract(metadata, '$.agent_id')) VIRTUAL,
    reflection_depth INTEGER DEFAULT 0 NOT NULL,
    memory_kind TEXT DEFAULT 'observation' NOT NULL,
    atomised_into INTEGER,
    atom_of TEXT,
    entity_id TEXT,
    persona_version INTEGER,
    citations TEXT DEFAULT '[]' NOT NULL,
    source_uri TEXT,
    source_span TEXT,
    confidence_source TEXT DEFAULT 'caller_provided' NOT NULL,
    confidence_signals TEXT,
    confidence_decayed_at TEXT,
    mentioned_entity_id TEXT,
    encrypted_envelope BLOB,
    version BIGINT DEFAULT 1 NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(atom_of) REFERENCES memories (id)
);
CREATE INDEX idx_memories_agent_id_idx ON memories (agent_id_idx);
CREATE INDEX idx_memories_atom_of ON memories (atom_of) WHERE atom_of IS NOT NULL;
CREATE INDEX idx_memories_atomised_into ON memories (atomised_into) WHERE atomised_into > 0;
CREATE INDEX idx_memories_confidence_source ON memories (confidence_source) WHERE confidence_source <> 'caller_provided';
CREATE INDEX idx_memories_created_at ON memories (created_at);
CREATE INDEX idx_memories_embedding_dim ON memories (embedding_dim) WHERE embedding_dim IS NOT NULL;
CREATE INDEX idx_memories_expires ON memories (expires_at);
CREATE INDEX idx_memories_list_order ON memories (priority DESC, updated_at DESC);
CREATE INDEX idx_memories_memory_kind ON memories (memory_kind);
CREATE INDEX idx_memories_mentioned_entity ON memories (mentioned_entity_id, namespace) WHERE memory_kind = 'reflection';
CREATE INDEX idx_memories_namespace ON memories (namespace);
CREATE INDEX idx_memories_ns_embedding_dim ON memories (namespace, embedding_dim) WHERE embedding_dim IS NOT NULL;
CREATE INDEX idx_memories_ns_list_order ON memories (namespace, priority DESC, updated_at DESC);
CREATE INDEX idx_memories_priority ON memories (priority DESC);
CREATE INDEX idx_memories_scope_idx ON memories (scope_idx);
CREATE INDEX idx_memories_source_uri ON memories (source_uri) WHERE source_uri IS NOT NULL;
CREATE INDEX idx_memories_tier ON memories (tier);
CREATE UNIQUE INDEX idx_memories_title_ns ON memories (title, namespace);
CREATE INDEX idx_memories_updated_at ON memories (updated_at);
CREATE INDEX idx_personas_by_entity ON memories (entity_id, namespace) WHERE memory_kind = 'persona';

CREATE TRIGGER memories_check_tier_insert BEFORE INSERT ON memories
FOR EACH ROW WHEN NEW.tier NOT IN ('short', 'mid', 'long')
BEGIN
    SELECT RAISE(ABORT, 'tier must be short, mid or long');
END;
CREATE TRIGGER memories_check_tier_update BEFORE UPDATE OF tier ON memories
FOR EACH ROW WHEN NEW.tier NOT IN ('short', 'mid', 'long')
BEGIN
    SELECT RAISE(ABORT, 'tier must be short, mid or long');
END;
CREATE TRIGGER memories_check_priority_insert BEFORE INSERT ON memories
FOR EACH ROW WHEN NEW.priority NOT BETWEEN 1 AND 10
BEGIN
    SELECT RAISE(ABORT, 'priority must be from 1 to 10');
END;
CREATE TRIGGER memories_check_priority_update BEFORE UPDATE OF priority ON memories
FOR EACH ROW WHEN NEW.priority NOT BETWEEN 1 AND 10
BEGIN
    SELECT RAISE(ABORT, 'priority must be from 1 to 10');
END;
CREATE TRIGGER memories_check_confidence_insert BEFORE INSERT ON memories
FOR EACH ROW WHEN NEW.confidence NOT BETWEEN 0.0 AND 1.0
BEGIN
    SELECT RAISE(ABORT, 'confidence must be from 0 to 1');
END;
CREATE TRIGGER memories_check_confidence_update BEFORE UPDATE OF confidence ON memories
FOR EACH ROW WHEN NEW.confidence NOT BETWEEN 0.0 AND 1.0
BEGIN
    SELECT RAISE(ABORT, 'confidence must be from 0 to 1');
END;

CREATE TABLE memory_transcripts (
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    compressed_size INTEGER NOT NULL,
    original_size INTEGER NOT NULL,
    zstd_level INTEGER DEFAULT 3 NOT NULL,
    content_blob BLOB NOT NULL,
    archived_at TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX idx_transcripts_archived_at ON memory_transcripts (archived_at) WHERE archived_at IS NOT NULL;
CREATE INDEX idx_transcripts_namespace_created ON memory_transcripts (namespace, created_at);

CREATE TABLE namespace_meta (
    namespace TEXT NOT NULL,
    standard_id TEXT,
    parent_namespace TEXT,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (namespace)
);

CREATE TABLE offloaded_blobs (
    ref_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    content_zstd BLOB NOT NULL,
    content_sha256 TEXT NOT NULL,
    stored_at INTEGER NOT NULL,
    ttl_seconds INTEGER,
    agent_id TEXT NOT NULL,
    signature_b64 TEXT NOT NULL,
    PRIMARY KEY (ref_id)
);
CREATE INDEX idx_offloaded_blobs_expiry ON offloaded_blobs (stored_at, ttl_seconds) WHERE ttl_seconds IS NOT NULL;
CREATE INDEX idx_offloaded_blobs_namespace ON offloaded_blobs (namespace);

CREATE TABLE pending_actions (
    id TEXT NOT NULL,
    action_type TEXT NOT NULL,
    memory_id TEXT,
    namespace TEXT NOT NULL,
    payload TEXT DEFAULT '{}' NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    decided_by TEXT,
    decided_at TEXT,
    approvals TEXT DEFAULT '[]' NOT NULL,
    default_timeout_seconds INTEGER,
    expired_at TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX idx_pending_namespace ON pending_actions (namespace);
CREATE INDEX idx_pending_status ON pending_actions (status);
CREATE INDEX idx_pending_status_requested ON pending_actions (status, requested_at);

CREATE TABLE schema_version (
    version INTEGER NOT NULL
);

CREATE TABLE signed_events (
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload_hash BLOB NOT NULL,
    signature BLOB,
    attest_level TEXT DEFAULT 'unsigned' NOT NULL,
    timestamp TEXT NOT NULL,
    prev_hash BLOB,
    sequence INTEGER,
    PRIMARY KEY (id)
);
CREATE INDEX idx_signed_events_agent ON signed_events (agent_id);
CREATE UNIQUE INDEX idx_signed_events_sequence ON signed_events (sequence);
CREATE INDEX idx_signed_events_timestamp ON signed_events (timestamp);
CREATE INDEX idx_signed_events_type ON signed_events (event_type);

CREATE TABLE signed_events_dlq (
    dlq_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload_hash BLOB NOT NULL,
    signature BLOB,
    attest_level TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    failure_reason TEXT NOT NULL,
    failed_at TEXT NOT NULL
);
CREATE INDEX idx_signed_events_dlq_agent ON signed_events_dlq (agent_id);
CREATE INDEX idx_signed_events_dlq_failed_at ON signed_events_dlq (failed_at);

CREATE TABLE skills (
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    license TEXT,
    compatibility TEXT,
    allowed_tools TEXT,
    metadata TEXT DEFAULT '{}' NOT NULL,
    body_blob BLOB NOT NULL,
    digest BLOB NOT NULL,
    signature BLOB,
    signing_agent TEXT,
    created_at INTEGER NOT NULL,
    superseded_by TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(superseded_by) REFERENCES skills (id)
);
CREATE INDEX idx_skills_namespace_name ON skills (namespace, name);
CREATE INDEX idx_skills_superseded_by ON skills (superseded_by);

CREATE TABLE subscription_dlq (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    subscription_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload TEXT NOT NULL,
    retry_count INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    first_failed_at TEXT NOT NULL,
    last_failed_at TEXT NOT NULL
);
CREATE INDEX idx_subscription_dlq_correlation ON subscription_dlq (correlation_id);
CREATE INDEX idx_subscription_dlq_failed ON subscription_dlq (subscription_id, last_failed_at);

CREATE TABLE subscription_events (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    subscription_id TEXT NOT NULL,
    correlation_id TEXT DEFAULT '' NOT NULL,
    event_type TEXT NOT NULL,
    payload TEXT NOT NULL,
    delivered_at TEXT NOT NULL,
    delivery_status TEXT DEFAULT 'pending' NOT NULL
);
CREATE INDEX idx_subscription_events_correlation ON subscription_events (correlation_id);
CREATE INDEX idx_subscription_events_delivered ON subscription_events (subscription_id, delivered_at);

CREATE TABLE subscriptions (
    id TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT DEFAULT '*' NOT NULL,
    secret_hash TEXT,
    namespace_filter TEXT,
    agent_filter TEXT,
    created_by TEXT,
    created_at TEXT NOT NULL,
    last_dispatched_at TEXT,
    dispatch_count INTEGER DEFAULT 0 NOT NULL,
    failure_count INTEGER DEFAULT 0 NOT NULL,
    event_types TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX idx_subscriptions_event_types ON subscriptions (event_types);
CREATE INDEX idx_subscriptions_url ON subscriptions (url);

CREATE TABLE sync_state (
    agent_id TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    last_seen_at TEXT NOT NULL,
    last_pulled_at TEXT NOT NULL,
    last_pushed_at TEXT,
    PRIMARY KEY (agent_id, peer_id)
);
CREATE INDEX idx_sync_state_agent ON sync_state (agent_id);

CREATE TABLE transcript_line_dedup (
    sha256 BLOB NOT NULL,
    memory_id TEXT NOT NULL,
    host_kind TEXT NOT NULL,
    transcript_path TEXT,
    host_session_id TEXT,
    host_turn_index INTEGER,
    recovered_at INTEGER NOT NULL,
    PRIMARY KEY (sha256)
) WITHOUT ROWID;
CREATE INDEX idx_transcript_line_dedup_recovered ON transcript_line_dedup (recovered_at, host_kind);
CREATE INDEX idx_transcript_line_dedup_turn ON transcript_line_dedup (host_session_id, host_turn_index) WHERE host_session_id IS NOT NULL;

CREATE TABLE confidence_shadow_observations (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    memory_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    source TEXT DEFAULT 'unknown' NOT NULL,
    caller_confidence REAL NOT NULL,
    derived_confidence REAL NOT NULL,
    signals TEXT NOT NULL,
    recall_outcome TEXT,
    observed_at TEXT NOT NULL,
    FOREIGN KEY(memory_id) REFERENCES memories (id) ON DELETE CASCADE
);
CREATE INDEX idx_shadow_memory ON confidence_shadow_observations (memory_id);
CREATE INDEX idx_shadow_namespace ON confidence_shadow_observations (namespace);
CREATE INDEX idx_shadow_namespace_source ON confidence_shadow_observations (namespace, source, observed_at);
CREATE INDEX idx_shadow_observed_at ON confidence_shadow_observations (observed_at);

CREATE TABLE memory_links (
    source_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    relation TEXT DEFAULT 'related_to' NOT NULL,
    created_at TEXT NOT NULL,
    valid_from TEXT,
    valid_until TEXT,
    observed_by TEXT,
    signature BLOB,
    attest_level TEXT,
    PRIMARY KEY (source_id, target_id, relation),
    CONSTRAINT memory_links_relation_check CHECK (relation IN ('related_to', 'supersedes', 'contradicts', 'derived_from', 'reflects_on', 'derives_from')),
    FOREIGN KEY(source_id) REFERENCES memories (id) ON DELETE CASCADE,
    FOREIGN KEY(target_id) REFERENCES memories (id) ON DELETE CASCADE
);
CREATE INDEX idx_links_relation ON memory_links (relation, valid_from);
CREATE INDEX idx_links_temporal_src ON memory_links (source_id, valid_from, valid_until);
CREATE INDEX idx_links_temporal_tgt ON memory_links (target_id, valid_from, valid_until);
CREATE INDEX idx_memory_links_attest_level ON memory_links (attest_level, created_at);

CREATE TRIGGER memory_links_check_attest_level_insert BEFORE INSERT ON memory_links
FOR EACH ROW WHEN NEW.attest_level NOT IN ('unsigned', 'self_signed', 'peer_attested')
BEGIN
    SELECT RAISE(ABORT, 'attest_level must be unsigned, self_signed or peer_attested');
END;
CREATE TRIGGER memory_links_check_attest_level_update BEFORE UPDATE OF attest_level ON memory_links
FOR EACH ROW WHEN NEW.attest_level NOT IN ('unsigned', 'self_signed', 'peer_attested')
BEGIN
    SELECT RAISE(ABORT, 'attest_level must be unsigned, self_signed or peer_attested');
END;
CREATE TRIGGER memory_links_check_signature_insert BEFORE INSERT ON memory_links
FOR EACH ROW WHEN NEW.attest_level IN ('self_signed', 'peer_attested') AND (NEW.signature IS NULL OR length(NEW.signature) <> 64)
BEGIN
    SELECT RAISE(ABORT, 'an attested link needs a signature of 64 bytes');
END;
CREATE TRIGGER memory_links_check_signature_update BEFORE UPDATE OF attest_level, signature ON memory_links
FOR EACH ROW WHEN NEW.attest_level IN ('self_signed', 'peer_attested') AND (NEW.signature IS NULL OR length(NEW.signature) <> 64)
BEGIN
    SELECT RAISE(ABORT, 'an attested link needs a signature of 64 bytes');
END;

CREATE TABLE memory_transcript_links (
    memory_id TEXT NOT NULL,
    transcript_id TEXT NOT NULL,
    span_start INTEGER,
    span_end INTEGER,
    PRIMARY KEY (memory_id, transcript_id),
    FOREIGN KEY(memory_id) REFERENCES memories (id) ON DELETE CASCADE,
    FOREIGN KEY(transcript_id) REFERENCES memory_transcripts (id) ON DELETE CASCADE
);
CREATE INDEX idx_transcript_links_memory ON memory_transcript_links (memory_id);
CREATE INDEX idx_transcript_links_transcript ON memory_transcript_links (transcript_id);

CREATE TABLE recall_observations (
    recall_id TEXT NOT NULL,
    memory_id TEXT NOT NULL,
    retriever TEXT NOT NULL,
    rank INTEGER NOT NULL,
    score REAL NOT NULL,
    consumed INTEGER DEFAULT 0 NOT NULL,
    observed_at TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')) NOT NULL,
    consumed_at TEXT,
    consumed_by_memory_id TEXT,
    PRIMARY KEY (recall_id, memory_id),
    FOREIGN KEY(memory_id) REFERENCES memories (id) ON DELETE CASCADE,
    FOREIGN KEY(consumed_by_memory_id) REFERENCES memories (id) ON DELETE CASCADE
);
CREATE INDEX idx_recall_observations_memory ON recall_observations (memory_id);
CREATE INDEX idx_recall_observations_observed ON recall_observations (observed_at);
CREATE INDEX idx_recall_observations_recall ON recall_observations (recall_id);

CREATE TABLE skill_resources (
    skill_id TEXT NOT NULL,
    resource_path TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    content_blob BLOB NOT NULL,
    digest BLOB NOT NULL,
    signature BLOB,
    PRIMARY KEY (skill_id, resource_path),
    FOREIGN KEY(skill_id) REFERENCES skills (id) ON DELETE CASCADE
);

INSERT INTO schema_version (version) VALUES (57);

-- The rules that v0.7.0 brings, all switched off.
INSERT INTO governance_rules (id, kind, matcher, severity, reason, created_by, created_at, enabled)
VALUES
    ('R001', 'filesystem_write', '{"glob":"/tmp/**"}', 'refuse', '/tmp is wiped at boot; write where it lasts', 'system:seed', 0, 0),
    ('R002', 'filesystem_write', '{"glob":"/var/tmp/**"}', 'refuse', '/var/tmp is cleaned by the system; write where it lasts', 'system:seed', 0, 0),
    ('R003', 'filesystem_write', '{"glob":"/private/tmp/**"}', 'refuse', '/private/tmp is wiped at boot; write where it lasts', 'system:seed', 0, 0),
    ('R004', 'process_spawn', '{"binary":"cargo","disk_free_min_gib":20}', 'refuse', 'a build needs at least 20 GiB of free disk', 'system:seed', 0, 0);

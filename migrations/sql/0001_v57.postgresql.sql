-- The tables of v0.7.0 at schema version 57. No foreign keys: partial state is legal.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE agent_quotas (
    agent_id TEXT NOT NULL,
    namespace TEXT DEFAULT '_global' NOT NULL,
    max_memories_per_day BIGINT DEFAULT 1000 NOT NULL,
    max_storage_bytes BIGINT DEFAULT 104857600 NOT NULL,
    max_links_per_day BIGINT DEFAULT 5000 NOT NULL,
    current_memories_today BIGINT DEFAULT 0 NOT NULL,
    current_storage_bytes BIGINT DEFAULT 0 NOT NULL,
    current_links_today BIGINT DEFAULT 0 NOT NULL,
    day_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
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
    tags JSONB DEFAULT '[]' NOT NULL,
    priority BIGINT DEFAULT 5 NOT NULL,
    confidence DOUBLE PRECISION DEFAULT 1.0 NOT NULL,
    source TEXT DEFAULT 'api' NOT NULL,
    access_count BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_accessed_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    archived_at TIMESTAMP WITH TIME ZONE NOT NULL,
    archive_reason TEXT DEFAULT 'ttl_expired' NOT NULL,
    metadata JSONB DEFAULT '{}' NOT NULL,
    embedding vector(384),
    embedding_dim BIGINT,
    original_tier TEXT,
    original_expires_at TIMESTAMP WITH TIME ZONE,
    reflection_depth BIGINT,
    atomised_into BIGINT,
    atom_of TEXT,
    memory_kind TEXT,
    entity_id TEXT,
    persona_version BIGINT,
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
    granted BOOLEAN NOT NULL,
    attestation_tier TEXT,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_audit_log_agent ON audit_log (agent_id);
CREATE INDEX idx_audit_log_event_type ON audit_log (event_type);
CREATE INDEX idx_audit_log_timestamp ON audit_log (timestamp);

CREATE TABLE entity_aliases (
    entity_id TEXT NOT NULL,
    alias TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (entity_id, alias)
);
CREATE INDEX idx_entity_aliases_alias ON entity_aliases (alias);

CREATE TABLE federation_nonce_cache (
    peer_id TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    last_touch BIGINT NOT NULL,
    inserted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (peer_id, fingerprint)
);
CREATE INDEX idx_federation_nonce_peer_touch ON federation_nonce_cache (peer_id, last_touch);
CREATE INDEX idx_federation_nonce_touch ON federation_nonce_cache (last_touch);

CREATE TABLE federation_push_dlq (
    id BIGSERIAL NOT NULL,
    memory_id TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    payload_json JSONB NOT NULL,
    attempt_count BIGINT DEFAULT 1 NOT NULL,
    last_error TEXT NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    replayed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE INDEX idx_federation_push_dlq_failed_at ON federation_push_dlq (failed_at) WHERE replayed_at IS NULL;
CREATE UNIQUE INDEX idx_federation_push_dlq_memory_peer ON federation_push_dlq (memory_id, peer_id) WHERE replayed_at IS NULL;
CREATE INDEX idx_federation_push_dlq_peer ON federation_push_dlq (peer_id) WHERE replayed_at IS NULL;

CREATE TABLE governance_rules (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    matcher JSONB NOT NULL,
    severity TEXT NOT NULL,
    reason TEXT NOT NULL,
    namespace TEXT DEFAULT '_global' NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    enabled INTEGER DEFAULT 1 NOT NULL,
    signature BYTEA,
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
    tags JSONB DEFAULT '[]' NOT NULL,
    priority BIGINT DEFAULT 5 NOT NULL,
    confidence DOUBLE PRECISION DEFAULT 1.0 NOT NULL,
    source TEXT DEFAULT 'api' NOT NULL,
    access_count BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_accessed_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    metadata JSONB DEFAULT '{}' NOT NULL,
    embedding vector(384),
    embedding_dim BIGINT,
    scope_idx TEXT GENERATED ALWAYS AS (COALESCE(metadata ->> 'scope', 'private')) STORED,
    agent_id_idx TEXT GENERATED ALWAYS AS (metadata ->> 'agent_id') STORED,
    reflection_depth BIGINT DEFAULT 0 NOT NULL,
    memory_kind TEXT DEFAULT 'observation' NOT NULL,
    atomised_into BIGINT,
    atom_of TEXT,
    entity_id TEXT,
    persona_version BIGINT,
    citations TEXT DEFAULT '[]' NOT NULL,
    source_uri TEXT,
    source_span TEXT,
    confidence_source TEXT DEFAULT 'caller_provided' NOT NULL,
    confidence_signals TEXT,
    confidence_decayed_at TEXT,
    mentioned_entity_id TEXT,
    encrypted_envelope BYTEA,
    version BIGINT DEFAULT 1 NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT memories_tier_check CHECK (tier IN ('short', 'mid', 'long')),
    CONSTRAINT memories_priority_check CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT memories_confidence_check CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT memories_metadata_object CHECK (jsonb_typeof(metadata) = 'object')
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
CREATE INDEX idx_memories_metadata_gin ON memories USING gin (metadata);
CREATE INDEX idx_memories_namespace ON memories (namespace);
CREATE INDEX idx_memories_namespace_prefix ON memories (namespace text_pattern_ops);
CREATE INDEX idx_memories_ns_embedding_dim ON memories (namespace, embedding_dim) WHERE embedding_dim IS NOT NULL;
CREATE INDEX idx_memories_ns_list_order ON memories (namespace, priority DESC, updated_at DESC);
CREATE INDEX idx_memories_priority ON memories (priority DESC);
CREATE INDEX idx_memories_scope_idx ON memories (scope_idx);
CREATE INDEX idx_memories_source_uri ON memories (source_uri) WHERE source_uri IS NOT NULL;
CREATE INDEX idx_memories_tags_gin ON memories USING gin (tags);
CREATE INDEX idx_memories_tier ON memories (tier);
CREATE UNIQUE INDEX idx_memories_title_ns ON memories (title, namespace);
CREATE INDEX idx_memories_updated_at ON memories (updated_at);
CREATE INDEX idx_personas_by_entity ON memories (entity_id, namespace) WHERE memory_kind = 'persona';
CREATE INDEX memories_embedding_hnsw ON memories USING hnsw (embedding vector_cosine_ops);

CREATE TABLE memory_transcripts (
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    compressed_size BIGINT NOT NULL,
    original_size BIGINT NOT NULL,
    zstd_level BIGINT DEFAULT 3 NOT NULL,
    content_blob BYTEA NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);
CREATE INDEX idx_transcripts_archived_at ON memory_transcripts (archived_at) WHERE archived_at IS NOT NULL;
CREATE INDEX idx_transcripts_namespace_created ON memory_transcripts (namespace, created_at);

CREATE TABLE namespace_meta (
    namespace TEXT NOT NULL,
    standard_id TEXT,
    parent_namespace TEXT,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (namespace)
);

CREATE TABLE offloaded_blobs (
    ref_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    content_zstd BYTEA NOT NULL,
    content_sha256 TEXT NOT NULL,
    stored_at BIGINT NOT NULL,
    ttl_seconds BIGINT,
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
    payload JSONB DEFAULT '{}' NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    decided_by TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    approvals JSONB DEFAULT '[]' NOT NULL,
    default_timeout_seconds BIGINT,
    expired_at TIMESTAMP WITH TIME ZONE,
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
    payload_hash BYTEA NOT NULL,
    signature BYTEA,
    attest_level TEXT DEFAULT 'unsigned' NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    prev_hash BYTEA,
    sequence BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX idx_signed_events_agent ON signed_events (agent_id);
CREATE UNIQUE INDEX idx_signed_events_sequence ON signed_events (sequence);
CREATE INDEX idx_signed_events_timestamp ON signed_events (timestamp);
CREATE INDEX idx_signed_events_type ON signed_events (event_type);

CREATE TABLE signed_events_dlq (
    dlq_id BIGSERIAL NOT NULL,
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload_hash BYTEA NOT NULL,
    signature BYTEA,
    attest_level TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    failure_reason TEXT NOT NULL,
    failed_at TEXT NOT NULL,
    PRIMARY KEY (dlq_id)
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
    allowed_tools JSONB,
    metadata JSONB DEFAULT '{}' NOT NULL,
    body_blob BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    signature BYTEA,
    signing_agent TEXT,
    created_at BIGINT NOT NULL,
    superseded_by TEXT,
    PRIMARY KEY (id)
);
CREATE INDEX idx_skills_namespace_name ON skills (namespace, name);
CREATE INDEX idx_skills_superseded_by ON skills (superseded_by);

CREATE TABLE subscription_dlq (
    id BIGSERIAL NOT NULL,
    subscription_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    payload JSONB NOT NULL,
    retry_count BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    first_failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_subscription_dlq_correlation ON subscription_dlq (correlation_id);
CREATE INDEX idx_subscription_dlq_failed ON subscription_dlq (subscription_id, last_failed_at);

CREATE TABLE subscription_events (
    id BIGSERIAL NOT NULL,
    subscription_id TEXT NOT NULL,
    correlation_id TEXT DEFAULT '' NOT NULL,
    event_type TEXT NOT NULL,
    payload JSONB NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    delivery_status TEXT DEFAULT 'pending' NOT NULL,
    PRIMARY KEY (id)
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
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_dispatched_at TIMESTAMP WITH TIME ZONE,
    dispatch_count BIGINT DEFAULT 0 NOT NULL,
    failure_count BIGINT DEFAULT 0 NOT NULL,
    event_types JSONB,
    PRIMARY KEY (id)
);
CREATE INDEX idx_subscriptions_event_types ON subscriptions (event_types);
CREATE INDEX idx_subscriptions_url ON subscriptions (url);

CREATE TABLE sync_state (
    agent_id TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_pulled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_pushed_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (agent_id, peer_id)
);
CREATE INDEX idx_sync_state_agent ON sync_state (agent_id);

CREATE TABLE transcript_line_dedup (
    sha256 BYTEA NOT NULL,
    memory_id TEXT NOT NULL,
    host_kind TEXT NOT NULL,
    transcript_path TEXT,
    host_session_id TEXT,
    host_turn_index BIGINT,
    recovered_at BIGINT NOT NULL,
    PRIMARY KEY (sha256)
);
CREATE INDEX idx_transcript_line_dedup_recovered ON transcript_line_dedup (recovered_at, host_kind);
CREATE INDEX idx_transcript_line_dedup_turn ON transcript_line_dedup (host_session_id, host_turn_index) WHERE host_session_id IS NOT NULL;

CREATE TABLE confidence_shadow_observations (
    id BIGSERIAL NOT NULL,
    memory_id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    source TEXT DEFAULT 'unknown' NOT NULL,
    caller_confidence DOUBLE PRECISION NOT NULL,
    derived_confidence DOUBLE PRECISION NOT NULL,
    signals JSONB NOT NULL,
    recall_outcome TEXT,
    observed_at TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX idx_shadow_memory ON confidence_shadow_observations (memory_id);
CREATE INDEX idx_shadow_namespace ON confidence_shadow_observations (namespace);
CREATE INDEX idx_shadow_namespace_source ON confidence_shadow_observations (namespace, source, observed_at);
CREATE INDEX idx_shadow_observed_at ON confidence_shadow_observations (observed_at);

CREATE TABLE memory_links (
    source_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    relation TEXT DEFAULT 'related_to' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_until TIMESTAMP WITH TIME ZONE,
    observed_by TEXT,
    signature BYTEA,
    attest_level TEXT,
    PRIMARY KEY (source_id, target_id, relation),
    CONSTRAINT memory_links_relation_check CHECK (relation IN ('related_to', 'supersedes', 'contradicts', 'derived_from', 'reflects_on', 'derives_from')),
    CONSTRAINT memory_links_attest_level_check CHECK (attest_level IS NULL OR attest_level IN ('unsigned', 'self_signed', 'peer_attested')),
    CONSTRAINT memory_links_attested_is_signed CHECK (attest_level IS NULL OR attest_level = 'unsigned' OR (signature IS NOT NULL AND octet_length(signature) = 64))
);
CREATE INDEX idx_links_relation ON memory_links (relation, valid_from);
CREATE INDEX idx_links_temporal_src ON memory_links (source_id, valid_from, valid_until);
CREATE INDEX idx_links_temporal_tgt ON memory_links (target_id, valid_from, valid_until);
CREATE INDEX idx_memory_links_attest_level ON memory_links (attest_level, created_at);

CREATE TABLE memory_transcript_links (
    memory_id TEXT NOT NULL,
    transcript_id TEXT NOT NULL,
    span_start BIGINT,
    span_end BIGINT,
    PRIMARY KEY (memory_id, transcript_id)
);
CREATE INDEX idx_transcript_links_memory ON memory_transcript_links (memory_id);
CREATE INDEX idx_transcript_links_transcript ON memory_transcript_links (transcript_id);

CREATE TABLE recall_observations (
    recall_id TEXT NOT NULL,
    memory_id TEXT NOT NULL,
    retriever TEXT NOT NULL,
    rank BIGINT NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    consumed BOOLEAN DEFAULT false NOT NULL,
    observed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    consumed_at TIMESTAMP WITH TIME ZONE,
    consumed_by_memory_id TEXT,
    PRIMARY KEY (recall_id, memory_id)
);
CREATE INDEX idx_recall_observations_memory ON recall_observations (memory_id);
CREATE INDEX idx_recall_observations_observed ON recall_observations (observed_at);
CREATE INDEX idx_recall_observations_recall ON recall_observations (recall_id);

CREATE TABLE skill_resources (
    skill_id TEXT NOT NULL,
    resource_path TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    content_blob BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    signature BYTEA,
    PRIMARY KEY (skill_id, resource_path)
);

-- Tiers in their order, so that a tier can be kept from falling.
CREATE FUNCTION tier_rank(tier TEXT) RETURNS INTEGER LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE tier WHEN 'short' THEN 0 WHEN 'mid' THEN 1 WHEN 'long' THEN 2 ELSE 0 END;

-- Every way along the links, outward, of at most five steps and through no memory twice.
CREATE VIEW kg_query_view AS
WITH RECURSIVE walk (start_id, target_id, relation, depth, ids) AS (
    SELECT source_id, target_id, relation, 1, ARRAY[source_id, target_id]
    FROM memory_links
    UNION ALL
    SELECT walk.start_id, link.target_id, link.relation, walk.depth + 1, walk.ids || link.target_id
    FROM walk JOIN memory_links AS link ON link.source_id = walk.target_id
    WHERE walk.depth < 5 AND link.target_id <> ALL (walk.ids)
)
SELECT start_id, target_id, relation, depth, array_to_string(ids, '->') AS path FROM walk;

CREATE VIEW kg_timeline_view AS
SELECT source_id, target_id, relation, valid_from, valid_until, observed_by, attest_level,
    encode(signature, 'hex') AS signature
FROM memory_links
WHERE valid_from IS NOT NULL
ORDER BY valid_from DESC;

-- The same whichever way a link points, of at most seven steps.
CREATE FUNCTION kg_find_paths(start_id TEXT, max_depth INTEGER)
RETURNS TABLE (target_id TEXT, depth INTEGER, path TEXT) LANGUAGE sql STABLE
AS '
WITH RECURSIVE edges (here, there) AS (
    SELECT source_id, memory_links.target_id FROM memory_links
    UNION
    SELECT memory_links.target_id, source_id FROM memory_links
), walk (there, depth, ids) AS (
    SELECT there, 1, ARRAY[here, there] FROM edges WHERE here = $1 AND $2 > 0
    UNION ALL
    SELECT edges.there, walk.depth + 1, walk.ids || edges.there
    FROM walk JOIN edges ON edges.here = walk.there
    WHERE walk.depth < least($2, 7) AND edges.there <> ALL (walk.ids)
)
SELECT there, depth, array_to_string(ids, ''->'') FROM walk ORDER BY depth, there
';

INSERT INTO schema_version (version) VALUES (57);

-- The rules that v0.7.0 brings, all switched off.
INSERT INTO governance_rules (id, kind, matcher, severity, reason, created_by, created_at, enabled)
VALUES
    ('R001', 'filesystem_write', '{"glob":"/tmp/**"}', 'refuse', '/tmp is wiped at boot; write where it lasts', 'system:seed', 0, 0),
    ('R002', 'filesystem_write', '{"glob":"/var/tmp/**"}', 'refuse', '/var/tmp is cleaned by the system; write where it lasts', 'system:seed', 0, 0),
    ('R003', 'filesystem_write', '{"glob":"/private/tmp/**"}', 'refuse', '/private/tmp is wiped at boot; write where it lasts', 'system:seed', 0, 0),
    ('R004', 'process_spawn', '{"binary":"cargo","disk_free_min_gib":20}', 'refuse', 'a build needs at least 20 GiB of free disk', 'system:seed', 0, 0);

-- Our own tables: merged state, names, the log, vectors, identity.

CREATE TABLE digest_buckets (
    bucket INTEGER NOT NULL,
    digest BYTEA NOT NULL,
    PRIMARY KEY (bucket)
);

CREATE TABLE log_entries (
    apply_no BIGSERIAL NOT NULL,
    origin_no INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    hlc BIGINT NOT NULL,
    kind TEXT NOT NULL,
    header BYTEA NOT NULL,
    payload BYTEA,
    payload_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (apply_no),
    UNIQUE (origin_no, seq)
);

CREATE TABLE log_members (
    node_id TEXT NOT NULL,
    state TEXT NOT NULL,
    detail JSONB DEFAULT '{}' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (node_id)
);

CREATE TABLE log_origins (
    origin_no SERIAL NOT NULL,
    origin TEXT NOT NULL,
    is_self INTEGER DEFAULT 0 NOT NULL,
    head_seq BIGINT DEFAULT 0 NOT NULL,
    head_hash BYTEA,
    head_hlc BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (origin_no),
    UNIQUE (origin)
);

CREATE TABLE log_quarantine (
    origin TEXT NOT NULL,
    seq BIGINT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    entry BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    retry_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (origin, seq)
);

CREATE TABLE member_cursors (
    node_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (node_id, origin)
);

CREATE TABLE memory_state (
    id TEXT NOT NULL,
    state BYTEA NOT NULL,
    row_hash BYTEA NOT NULL,
    collected BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE memory_vectors (
    no BIGSERIAL NOT NULL,
    memory_id TEXT NOT NULL,
    stamp TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    model TEXT NOT NULL,
    dim INTEGER NOT NULL,
    vector BYTEA NOT NULL,
    PRIMARY KEY (no),
    UNIQUE (memory_id)
);

CREATE INDEX idx_memory_vectors_model ON memory_vectors (model, dim, memory_id);

CREATE TABLE name_claims (
    namespace TEXT NOT NULL,
    title TEXT NOT NULL,
    memory_id TEXT NOT NULL,
    stamp TEXT NOT NULL,
    PRIMARY KEY (namespace, title, memory_id)
);

CREATE TABLE record_state (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    state BYTEA NOT NULL,
    row_hash BYTEA NOT NULL,
    PRIMARY KEY (kind, key)
);

CREATE TABLE store_identity (
    id INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    boot_token TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT store_identity_single_row CHECK (id = 1)
);

CREATE TABLE text_duplicates (
    text_hash BYTEA NOT NULL,
    memory_id TEXT NOT NULL,
    PRIMARY KEY (text_hash, memory_id)
);

CREATE TABLE tombstones (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    stamp TEXT NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

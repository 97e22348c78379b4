-- Our own tables: merged state, names, the log, vectors, identity.

CREATE TABLE digest_buckets (
    bucket INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (bucket)
);

CREATE TABLE log_entries (
    apply_no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    origin_no INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hlc INTEGER NOT NULL,
    kind TEXT NOT NULL,
    header BLOB NOT NULL,
    payload BLOB,
    payload_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (origin_no, seq)
);

CREATE TABLE log_members (
    node_id TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT DEFAULT '{}' NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (node_id)
);

CREATE TABLE log_origins (
    origin_no INTEGER NOT NULL,
    origin TEXT NOT NULL,
    is_self INTEGER DEFAULT 0 NOT NULL,
    head_seq INTEGER DEFAULT 0 NOT NULL,
    head_hash BLOB,
    head_hlc INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (origin_no),
    UNIQUE (origin)
);

CREATE TABLE log_quarantine (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    entry BLOB NOT NULL,
    received_at TEXT NOT NULL,
    retry_at TEXT,
    PRIMARY KEY (origin, seq)
);

CREATE TABLE member_cursors (
    node_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (node_id, origin)
);

CREATE TABLE memory_state (
    id TEXT NOT NULL,
    state BLOB NOT NULL,
    row_hash BLOB NOT NULL,
    collected INTEGER DEFAULT 0 NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE memory_vectors (
    no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    memory_id TEXT NOT NULL,
    stamp TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    model TEXT NOT NULL,
    dim INTEGER NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (memory_id)
);

CREATE INDEX idx_memory_vectors_model ON memory_vectors (model, dim, memory_id);

CREATE TABLE name_claims (
    namespace TEXT NOT NULL,
    title TEXT NOT NULL,
    memory_id TEXT NOT NULL,
    stamp TEXT NOT NULL,
    PRIMARY KEY (namespace, title, memory_id)
) WITHOUT ROWID;

CREATE TABLE record_state (
    kind TEXT NOT NULL,
    "key" TEXT NOT NULL,
    state BLOB NOT NULL,
    row_hash BLOB NOT NULL,
    PRIMARY KEY (kind, "key")
);

CREATE TABLE store_identity (
    id INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    boot_token TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT store_identity_single_row CHECK (id = 1)
);

CREATE TABLE text_duplicates (
    text_hash BLOB NOT NULL,
    memory_id TEXT NOT NULL,
    PRIMARY KEY (text_hash, memory_id)
) WITHOUT ROWID;

CREATE TABLE tombstones (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    stamp TEXT NOT NULL,
    deleted_at TEXT NOT NULL,
    PRIMARY KEY (id)
);

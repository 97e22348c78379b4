-- What a node of a mesh remembers: signatures, where logs begin, peers' keys, requests' keys.

ALTER TABLE log_origins ADD COLUMN floor_seq INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE log_origins ADD COLUMN floor_hash BLOB;

CREATE TABLE log_signatures (
    origin_no INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (origin_no, seq)
) WITHOUT ROWID;

CREATE TABLE peer_pins (
    node_id TEXT NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT,
    public_key BLOB NOT NULL,
    url TEXT,
    first_seen TEXT NOT NULL,
    last_seen TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (node_id)
);

CREATE TABLE idempotency_keys (
    "key" TEXT NOT NULL,
    actor TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    status INTEGER,
    answer BLOB,
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    entity_id TEXT,
    expires_at TEXT NOT NULL,
    PRIMARY KEY ("key", actor)
);
CREATE INDEX idx_idempotency_keys_expires ON idempotency_keys (expires_at);

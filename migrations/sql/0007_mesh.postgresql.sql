-- What a node of a mesh remembers: signatures, where logs begin, peers' keys, requests' keys.

ALTER TABLE log_origins ADD COLUMN floor_seq BIGINT DEFAULT 0 NOT NULL;
ALTER TABLE log_origins ADD COLUMN floor_hash BYTEA;

CREATE TABLE log_signatures (
    origin_no INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (origin_no, seq)
);

CREATE TABLE peer_pins (
    node_id TEXT NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT,
    public_key BYTEA NOT NULL,
    url TEXT,
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (node_id)
);

CREATE TABLE idempotency_keys (
    key TEXT NOT NULL,
    actor TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    status INTEGER,
    answer BYTEA,
    origin TEXT NOT NULL,
    seq BIGINT NOT NULL,
    entity_id TEXT,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (key, actor)
);
CREATE INDEX idx_idempotency_keys_expires ON idempotency_keys (expires_at);

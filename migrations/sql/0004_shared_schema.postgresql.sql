-- Several nodes on one schema: digests as deltas, and who writes as which node.

CREATE TABLE digest_deltas (
    no BIGSERIAL NOT NULL,
    buckets BYTEA NOT NULL,
    deltas BYTEA NOT NULL,
    PRIMARY KEY (no)
);

CREATE TABLE node_leases (
    node_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    boot_token TEXT NOT NULL,
    server TEXT NOT NULL,
    leased_until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (node_id)
);

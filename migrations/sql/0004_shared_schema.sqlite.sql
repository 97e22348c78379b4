-- Several nodes on one schema: digests as deltas, and who writes as which node.

CREATE TABLE digest_deltas (
    no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    buckets BLOB NOT NULL,
    deltas BLOB NOT NULL
);

CREATE TABLE node_leases (
    node_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    boot_token TEXT NOT NULL,
    server TEXT NOT NULL,
    leased_until TEXT NOT NULL,
    PRIMARY KEY (node_id)
);

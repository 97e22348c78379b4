"""The tables added beside v0.7.0's: merged state, names, the log, vectors, identity."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from app.store.tables.schema_metadata import metadata
from app.store.tables.types import COUNTER, JsonText, Timestamp

memory_state = Table(
    "memory_state",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "state", LargeBinary, nullable=False, comment="the registers of one memory, canonical CBOR"
    ),
    Column("row_hash", LargeBinary, nullable=False, comment="SHA-256 over what the digest covers"),
    Column(
        "collected",
        COUNTER,
        nullable=False,
        server_default=text("0"),
        comment="1 after this node moved the expired row to the archive; local, in no digest",
    ),
)

record_state = Table(
    "record_state",
    metadata,
    Column("kind", Text, nullable=False, comment="link, alias, standard, member or pending"),
    Column("key", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("row_hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("kind", "key"),
)

name_claims = Table(
    "name_claims",
    metadata,
    Column("namespace", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("memory_id", Text, nullable=False),
    Column(
        "stamp",
        Text,
        nullable=False,
        comment="stamp of the claim; the least one of a live claimant wins",
    ),
    PrimaryKeyConstraint("namespace", "title", "memory_id"),
    sqlite_with_rowid=False,
)

text_duplicates = Table(
    "text_duplicates",
    metadata,
    Column("text_hash", LargeBinary, nullable=False, comment="hash of the normalised text"),
    Column("memory_id", Text, nullable=False),
    PrimaryKeyConstraint("text_hash", "memory_id"),
    sqlite_with_rowid=False,
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("stamp", Text, nullable=False),
    Column("deleted_at", Timestamp, nullable=False),
)

digest_buckets = Table(
    "digest_buckets",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
)

# On PostgreSQL only, where several nodes may write to one schema.
digest_deltas = Table(
    "digest_deltas",
    metadata,
    Column("no", COUNTER, primary_key=True),
    Column("buckets", LargeBinary, nullable=False, comment="a byte each"),
    Column("deltas", LargeBinary, nullable=False, comment="32 bytes each, in the same order"),
    sqlite_autoincrement=True,
)

node_leases = Table(
    "node_leases",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("epoch", COUNTER, nullable=False),
    Column("boot_token", Text, nullable=False, comment="whoever knows it holds the lease"),
    Column("server", Text, nullable=False, comment="and its timeline, where it last ran"),
    Column("leased_until", Timestamp, nullable=False),
)

# On PostgreSQL only, where Apache AGE's graph is a follower of the log.
graph_cursors = Table(
    "graph_cursors",
    metadata,
    Column("origin_no", Integer, primary_key=True, autoincrement=False),
    Column("graph", COUNTER, nullable=False, comment="AGE's number of the graph that is meant"),
    Column("seq", COUNTER, nullable=False, comment="the graph shows every entry up to here"),
)

graph_waiting = Table(
    "graph_waiting",
    metadata,
    Column("origin", Text, nullable=False),
    Column("seq", COUNTER, nullable=False, comment="passed while it stood in the quarantine"),
    PrimaryKeyConstraint("origin", "seq"),
)

log_origins = Table(
    "log_origins",
    metadata,
    Column("origin_no", Integer, primary_key=True),
    Column("origin", Text, nullable=False, unique=True, comment="node id and epoch"),
    Column("is_self", Integer, nullable=False, server_default=text("0")),
    Column(
        "head_seq",
        COUNTER,
        nullable=False,
        server_default=text("0"),
        comment="also the receive cursor",
    ),
    Column("head_hash", LargeBinary),
    Column("head_hlc", COUNTER, nullable=False, server_default=text("0")),
    Column(
        "floor_seq",
        COUNTER,
        nullable=False,
        server_default=text("0"),
        comment="entries up to here were truncated, or came in a snapshot",
    ),
    Column("floor_hash", LargeBinary, comment="what the first kept entry continues; NULL at 0"),
)

log_signatures = Table(
    "log_signatures",
    metadata,
    Column("origin_no", Integer, nullable=False),
    Column("seq", COUNTER, nullable=False),
    Column("signature", LargeBinary, nullable=False, comment="of the origin, over its head there"),
    PrimaryKeyConstraint("origin_no", "seq"),
    sqlite_with_rowid=False,
)

log_entries = Table(
    "log_entries",
    metadata,
    Column(
        "apply_no",
        COUNTER,
        primary_key=True,
        comment="local order of application; followers' cursor",
    ),
    Column("origin_no", Integer, nullable=False),
    Column("seq", COUNTER, nullable=False),
    Column("hlc", COUNTER, nullable=False),
    Column("kind", Text, nullable=False),
    Column("header", LargeBinary, nullable=False),
    Column("payload", LargeBinary, comment="NULL once purged, or when the entry is a hole"),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("origin_no", "seq"),
    sqlite_autoincrement=True,
)

log_members = Table(
    "log_members",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="joined, left or expired"),
    Column("detail", JsonText, nullable=False, server_default="{}"),
    Column("updated_at", Timestamp, nullable=False),
)

member_cursors = Table(
    "member_cursors",
    metadata,
    Column("node_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("seq", COUNTER, nullable=False),
    PrimaryKeyConstraint("node_id", "origin"),
)

log_quarantine = Table(
    "log_quarantine",
    metadata,
    Column("origin", Text, nullable=False),
    Column("seq", COUNTER, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("received_at", Timestamp, nullable=False),
    Column("retry_at", Timestamp),
    PrimaryKeyConstraint("origin", "seq"),
)

peer_pins = Table(
    "peer_pins",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("name", Text, nullable=False, comment="the identity that it gave"),
    Column("fingerprint", Text, comment="SHA-256 of its certificate; NULL without TLS"),
    Column("public_key", LargeBinary, nullable=False),
    Column("url", Text),
    Column("first_seen", Timestamp, nullable=False),
    Column("last_seen", Timestamp, nullable=False),
    Column("state", Text, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False, comment="hash of the request"),
    Column("status", Integer, comment="of the answer; NULL until it was given"),
    Column("answer", LargeBinary),
    Column("origin", Text, nullable=False),
    Column("seq", COUNTER, nullable=False, comment="the last entry that the request appended"),
    Column("entity_id", Text),
    Column("expires_at", Timestamp, nullable=False),
    PrimaryKeyConstraint("key", "actor"),
)
Index("idx_idempotency_keys_expires", idempotency_keys.c.expires_at)

memory_vectors = Table(
    "memory_vectors",
    metadata,
    Column("no", COUNTER, primary_key=True, comment="key of the vector in the HNSW index"),
    Column("memory_id", Text, nullable=False, unique=True),
    Column("stamp", Text, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("model", Text, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False, comment="float16, little endian"),
    sqlite_autoincrement=True,
)

# Which memories have a vector of a model: asked at every start, without reading the vectors.
Index(
    "idx_memory_vectors_model",
    memory_vectors.c.model,
    memory_vectors.c.dim,
    memory_vectors.c.memory_id,
)

store_identity = Table(
    "store_identity",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("store_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("epoch", COUNTER, nullable=False),
    Column("boot_token", Text, nullable=False),
    CheckConstraint("id = 1", name="store_identity_single_row"),
)

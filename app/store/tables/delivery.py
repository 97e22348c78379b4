"""Federation's bookkeeping, subscriptions and their deliveries, as in v0.7.0."""

from sqlalchemy import Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, text

from app.store.tables.schema_metadata import metadata
from app.store.tables.types import COUNTER, JsonText, Timestamp

sync_state = Table(
    "sync_state",
    metadata,
    Column("agent_id", Text, nullable=False),
    Column("peer_id", Text, nullable=False),
    Column("last_seen_at", Timestamp, nullable=False),
    Column("last_pulled_at", Timestamp, nullable=False),
    Column("last_pushed_at", Timestamp),
    PrimaryKeyConstraint("agent_id", "peer_id"),
)
Index("idx_sync_state_agent", sync_state.c.agent_id)

federation_push_dlq = Table(
    "federation_push_dlq",
    metadata,
    Column("id", COUNTER, primary_key=True),
    Column("memory_id", Text, nullable=False),
    Column("peer_id", Text, nullable=False),
    Column("payload_json", JsonText, nullable=False),
    Column("attempt_count", COUNTER, nullable=False, server_default=text("1")),
    Column("last_error", Text, nullable=False),
    Column("failed_at", Timestamp, nullable=False),
    Column("replayed_at", Timestamp),
    sqlite_autoincrement=True,
)
_WAITING = text("replayed_at IS NULL")
Index(
    "idx_federation_push_dlq_failed_at",
    federation_push_dlq.c.failed_at,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
Index(
    "idx_federation_push_dlq_peer",
    federation_push_dlq.c.peer_id,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
Index(
    "idx_federation_push_dlq_memory_peer",
    federation_push_dlq.c.memory_id,
    federation_push_dlq.c.peer_id,
    unique=True,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)

federation_nonce_cache = Table(
    "federation_nonce_cache",
    metadata,
    Column("peer_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("last_touch", COUNTER, nullable=False),
    Column("inserted_at", Timestamp, nullable=False),
    PrimaryKeyConstraint("peer_id", "fingerprint"),
    sqlite_with_rowid=False,
)
Index(
    "idx_federation_nonce_peer_touch",
    federation_nonce_cache.c.peer_id,
    federation_nonce_cache.c.last_touch,
)
Index("idx_federation_nonce_touch", federation_nonce_cache.c.last_touch)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False, server_default="*"),
    Column("secret_hash", Text),
    Column("namespace_filter", Text),
    Column("agent_filter", Text),
    Column("created_by", Text),
    Column("created_at", Timestamp, nullable=False),
    Column("last_dispatched_at", Timestamp),
    Column("dispatch_count", COUNTER, nullable=False, server_default=text("0")),
    Column("failure_count", COUNTER, nullable=False, server_default=text("0")),
    Column("event_types", JsonText),
)
Index("idx_subscriptions_url", subscriptions.c.url)
Index("idx_subscriptions_event_types", subscriptions.c.event_types)

subscription_events = Table(
    "subscription_events",
    metadata,
    Column("id", COUNTER, primary_key=True),
    Column("subscription_id", Text, nullable=False),
    Column("correlation_id", Text, nullable=False, server_default=""),
    Column("event_type", Text, nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("delivered_at", Timestamp, nullable=False),
    Column("delivery_status", Text, nullable=False, server_default="pending"),
    sqlite_autoincrement=True,
)
Index("idx_subscription_events_correlation", subscription_events.c.correlation_id)
Index(
    "idx_subscription_events_delivered",
    subscription_events.c.subscription_id,
    subscription_events.c.delivered_at,
)

subscription_dlq = Table(
    "subscription_dlq",
    metadata,
    Column("id", COUNTER, primary_key=True),
    Column("subscription_id", Text, nullable=False),
    Column("correlation_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("retry_count", COUNTER, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("first_failed_at", Timestamp, nullable=False),
    Column("last_failed_at", Timestamp, nullable=False),
    sqlite_autoincrement=True,
)
Index(
    "idx_subscription_dlq_failed",
    subscription_dlq.c.subscription_id,
    subscription_dlq.c.last_failed_at,
)
Index("idx_subscription_dlq_correlation", subscription_dlq.c.correlation_id)

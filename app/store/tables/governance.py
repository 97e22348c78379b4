"""Namespaces' standards, approvals, rules, quotas and the audit chain, as in v0.7.0."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from app.store.tables.schema_metadata import metadata
from app.store.tables.types import COUNTER, FLAG, JsonText, Timestamp

namespace_meta = Table(
    "namespace_meta",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("standard_id", Text),
    Column("parent_namespace", Text),
    Column("updated_at", Timestamp, nullable=False),
)

pending_actions = Table(
    "pending_actions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("action_type", Text, nullable=False),
    Column("memory_id", Text),
    Column("namespace", Text, nullable=False),
    Column("payload", JsonText, nullable=False, server_default="{}"),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Timestamp, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("decided_by", Text),
    Column("decided_at", Timestamp),
    Column("approvals", JsonText, nullable=False, server_default="[]"),
    Column("default_timeout_seconds", COUNTER),
    Column("expired_at", Timestamp),
)
Index("idx_pending_status", pending_actions.c.status)
Index("idx_pending_namespace", pending_actions.c.namespace)
Index("idx_pending_status_requested", pending_actions.c.status, pending_actions.c.requested_at)

governance_rules = Table(
    "governance_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("matcher", JsonText, nullable=False),
    Column("severity", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("namespace", Text, nullable=False, server_default="_global"),
    Column("created_by", Text, nullable=False),
    Column("created_at", COUNTER, nullable=False, comment="seconds since 1970"),
    Column("enabled", Integer, nullable=False, server_default=text("1")),
    Column("signature", LargeBinary),
    Column("attest_level", Text, nullable=False, server_default="unsigned"),
    CheckConstraint(
        "severity IN ('refuse', 'warn', 'log')", name="governance_rules_severity_check"
    ),
)
Index("idx_governance_rules_kind", governance_rules.c.kind, governance_rules.c.enabled)
Index("idx_governance_rules_namespace", governance_rules.c.namespace)

agent_quotas = Table(
    "agent_quotas",
    metadata,
    Column("agent_id", Text, nullable=False),
    Column("namespace", Text, nullable=False, server_default="_global"),
    Column("max_memories_per_day", COUNTER, nullable=False, server_default=text("1000")),
    Column("max_storage_bytes", COUNTER, nullable=False, server_default=text("104857600")),
    Column("max_links_per_day", COUNTER, nullable=False, server_default=text("5000")),
    Column("current_memories_today", COUNTER, nullable=False, server_default=text("0")),
    Column("current_storage_bytes", COUNTER, nullable=False, server_default=text("0")),
    Column("current_links_today", COUNTER, nullable=False, server_default=text("0")),
    Column("day_started_at", Timestamp, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    PrimaryKeyConstraint("agent_id", "namespace"),
)
Index("idx_agent_quotas_agent", agent_quotas.c.agent_id)
Index("idx_agent_quotas_namespace", agent_quotas.c.namespace, agent_quotas.c.agent_id)

signed_events = Table(
    "signed_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary),
    Column("attest_level", Text, nullable=False, server_default="unsigned"),
    Column("timestamp", Timestamp, nullable=False),
    Column("prev_hash", LargeBinary),
    Column("sequence", COUNTER),
)
Index("idx_signed_events_agent", signed_events.c.agent_id)
Index("idx_signed_events_type", signed_events.c.event_type)
Index("idx_signed_events_timestamp", signed_events.c.timestamp)
Index("idx_signed_events_sequence", signed_events.c.sequence, unique=True)

signed_events_dlq = Table(
    "signed_events_dlq",
    metadata,
    Column("dlq_id", COUNTER, primary_key=True),
    Column("id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("payload_hash", LargeBinary, nullable=False),
    Column("signature", LargeBinary),
    Column("attest_level", Text, nullable=False),
    Column("timestamp", Text, nullable=False),
    Column("failure_reason", Text, nullable=False),
    Column("failed_at", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_signed_events_dlq_failed_at", signed_events_dlq.c.failed_at)
Index("idx_signed_events_dlq_agent", signed_events_dlq.c.agent_id)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text),
    Column("event_type", Text, nullable=False),
    Column("requested_family", Text),
    Column("granted", FLAG, nullable=False),
    Column("attestation_tier", Text),
    Column("timestamp", Timestamp, nullable=False),
)
Index("idx_audit_log_agent", audit_log.c.agent_id)
Index("idx_audit_log_timestamp", audit_log.c.timestamp)
Index("idx_audit_log_event_type", audit_log.c.event_type)

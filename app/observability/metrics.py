"""Counters, gauges and histograms under v0.7.0's names (http-api 3.1), a registry an app."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
"""Without its charset, which the surface adds."""

_BUCKETS_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)


class KeptTotal:
    """A counter whose total is kept elsewhere, from this process's start."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._told = 0

    def reach(self, total: int) -> None:
        """Count up to `total`; it never goes back."""
        if total > self._told:
            self._counter.inc(total - self._told)
            self._told = total


class Metrics:
    """Services count here what they do; gauges are set when somebody looks."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # v0.7.0 has no such series
        self._registry = CollectorRegistry()
        self.store_total = self._counter(
            "store_total", "Single creates by tier and outcome.", "tier", "result"
        )
        self.recall_total = self._counter("recall_total", "Recalls by mode.", "mode")
        self.recall_latency_seconds = self._histogram(
            "recall_latency_seconds", "Time of a recall, from request to answer.", "mode"
        )
        self.autonomy_hook_total = self._counter(
            "autonomy_hook_total", "Work of the language model after a store.", "kind", "result"
        )
        self.contradiction_detected_total = self._counter(
            "contradiction_detected_total", "Contradictions found."
        )
        self.webhook_dispatched_total = self._counter(
            "webhook_dispatched_total", "Webhooks delivered."
        )
        self.webhook_failed_total = self._counter(
            "webhook_failed_total", "Webhooks given up after every retry."
        )
        self.memories = self._gauge("memories", "Memories in the live table.")
        self.hnsw_size = self._gauge("hnsw_size", "Vectors in the index.")
        self.embeddings_made = self._gauge(
            "embeddings_made", "Vectors that this node made of new texts since its start."
        )
        self.hnsw_evictions_total = self._counter(
            "hnsw_evictions_total", "Vectors dropped from a full index."
        )
        self.hnsw_last_eviction_at_nanos = self._gauge(
            "hnsw_last_eviction_at_nanos", "When the last vector was dropped; 0: never."
        )
        self.subscriptions_active = self._gauge("subscriptions_active", "Webhook subscriptions.")
        self.subscription_dlq_overflow_total = self._counter(
            "subscription_dlq_overflow_total", "Undelivered webhooks that no longer fitted."
        )
        self.curator_cycles_total = self._counter("curator_cycles_total", "Curator runs.")
        self.curator_operations_total = self._counter(
            "curator_operations_total", "Changes made by the curator."
        )
        self.curator_cycle_duration_seconds = self._histogram(
            "curator_cycle_duration_seconds", "Time of a curator run."
        )
        self.federation_fanout_dropped_total = self._counter(
            "federation_fanout_dropped_total", "Pushes given up, by reason.", "reason"
        )
        self.federation_fanout_retry_total = self._counter(
            "federation_fanout_retry_total", "Pushes sent again, by outcome.", "outcome"
        )
        self.federation_partial_quorum_total = self._counter(
            "federation_partial_quorum_total", "Writes that too few peers confirmed in time."
        )
        self.federation_push_dlq_depth = self._gauge(
            "federation_push_dlq_depth", "Pushes waiting for a peer to come back."
        )
        self.federation_push_dlq_quarantined_total = self._counter(
            "federation_push_dlq_quarantined_total", "Pushes that a peer refuses for good."
        )
        self._add_replication()
        self._add_repairs()
        self.auto_export_spawn_failed_total = self._counter(
            "auto_export_spawn_failed_total", "Exports of reflections that failed."
        )
        self.corrupt_provenance_rows_total = self._counter(
            "corrupt_provenance_rows_total", "Rows whose provenance cannot be read."
        )

    def _add_replication(self) -> None:
        """What v0.7.0 named and never registered, and what its mesh did not measure."""
        self.quorum_ack_total = self._counter(
            "replication_quorum_ack_total", "Writes that waited for copies, by result.", "result"
        )
        self.quorum_failures_total = self._counter(
            "replication_quorum_failures_total", "Writes without enough copies.", "reason"
        )
        self.quorum_ack_seconds = self._histogram(
            "quorum_ack_seconds", "Time from the local commit to the last copy asked for."
        )
        self.apply_seconds = self._histogram(
            "apply_seconds", "Time from a peer's entries, checked, to their commit here."
        )
        self.replication_lag_entries = self._gauge(
            "replication_lag_entries", "Entries here that a peer lacks.", "peer"
        )
        self.replication_lag_seconds = self._gauge(
            "replication_lag_seconds", "Age of the oldest own entry that a peer lacks.", "peer"
        )
        self.replication_missing_entries = self._gauge(
            "replication_missing_entries", "Entries that peers have and this node lacks."
        )
        self.peer_up = self._gauge("peer_up", "1 for a peer that answers.", "peer")
        self.clock_offset_seconds = self._gauge(
            "clock_offset_seconds", "A peer's clock against this node's.", "peer"
        )
        self.quarantine_depth = self._gauge(
            "quarantine_depth", "Entries of peers that are kept apart."
        )
        self.quarantine_entries = self._gauge(
            "quarantine_entries", "The same by the reason why; of the first 10,000.", "code"
        )
        self.pushes = self._gauge("federation_pushes", "Batches sent to a peer.", "peer")
        self.pushed_entries = self._gauge(
            "federation_pushed_entries", "Entries sent to a peer.", "peer"
        )
        self.received_entries = self._gauge(
            "federation_received_entries", "Entries that peers sent."
        )
        self.members = self._gauge(
            "federation_members", "Nodes that belong, or belonged, to the fleet.", "state"
        )
        self.truncated_entries = self._gauge(
            "federation_truncated_entries", "Entries of the log that were forgotten."
        )
        self.known_entries = self._gauge(
            "federation_known_entries", "Entries that peers sent although they were here."
        )

    def _add_repairs(self) -> None:
        """What comparisons with peers found and mended; v0.7.0 made none."""
        self.digest_mismatch = self._gauge(
            "digest_mismatch",
            "1 for a peer whose states differ though it has the same log.",
            "peer",
        )
        self.repairs = self._total(
            "replication_repairs", "Comparisons with peers that changed states here."
        )
        self.repaired_buckets = self._total(
            "replication_repaired_buckets", "Buckets of states that a comparison changed here."
        )
        self.repaired_rows = self._total(
            "replication_repaired_rows", "States that a comparison changed here."
        )
        self.snapshots = self._total("replication_snapshots", "Snapshots of peers that were taken.")
        self.snapshot_pages = self._total("replication_snapshot_pages", "Their pages.")
        self.snapshot_rows = self._total(
            "replication_snapshot_rows", "States that a snapshot changed here."
        )
        self.snapshot_failures = self._total(
            "replication_snapshot_failures", "Attempts at a snapshot that were put off."
        )
        self.fetched_vectors = self._total(
            "replication_fetched_vectors",
            "Vectors asked of peers because their entries did not come.",
        )

    def index_evictions(self) -> int:
        """Vectors dropped from a full index since the start."""
        return int(self._registry.get_sample_value("ai_memory_hnsw_evictions_total") or 0)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"ai_memory_{name}", meaning, labels, registry=self._registry)

    def _total(self, name: str, meaning: str) -> KeptTotal:
        return KeptTotal(self._counter(f"{name}_total", meaning))

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"ai_memory_{name}", meaning, labels, registry=self._registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(
            f"ai_memory_{name}",
            meaning,
            labels,
            registry=self._registry,
            buckets=_BUCKETS_SECONDS,
        )

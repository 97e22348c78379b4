"""What `doctor` found: sections of facts, each with a severity; the worst one is the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json

EMBEDDINGS_WARNING: Final = 95_000
"""From here on the index comes near the 100,000 that it is laid out for (cli 7)."""

_SKEW_WARNED_MS: Final = 60_000
_NAMESPACES_SHOWN: Final = 10
_LABELS: Final = {"info": "INFO", "warning": "WARN", "critical": "CRIT", "notavailable": "N/A"}


class Severity(StrEnum):
    """From harmless to grave; `notavailable` says nothing."""

    NOT_AVAILABLE = "notavailable"
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Section:
    """One subject."""

    name: str
    severity: Severity
    facts: Sequence[tuple[str, str]] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything, as one document. `mode` is `local` or `remote`."""

    mode: str
    source: str
    generated_at: str
    sections: Sequence[Section] = field(default_factory=tuple)

    @property
    def overall(self) -> Severity:
        worst = max((section.severity.rank for section in self.sections), default=0)
        return list(Severity)[max(worst, Severity.INFO.rank)]

    def document(self) -> dict[str, Json]:
        sections: list[Json] = []
        for section in self.sections:
            row: dict[str, Json] = {
                "name": section.name,
                "severity": section.severity.value,
                "facts": [[name, value] for name, value in section.facts],
            }
            sections.append(row if section.note is None else {**row, "note": section.note})
        return {
            "mode": self.mode,
            "source": self.source,
            "generated_at": self.generated_at,
            "sections": sections,
            "overall": self.overall.value,
        }

    def text(self) -> str:
        lines = [f"ai-memory doctor: {self.mode} {self.source}"]
        for section in self.sections:
            lines.append(f"\n[{_LABELS[section.severity]}] {section.name}")
            lines += [f"  {name} = {value}" for name, value in section.facts]
            if section.note is not None:
                lines.append(f"  {section.note}")
        return "\n".join([*lines, f"\noverall: {_LABELS[self.overall]}"])


def storage(stats: Mapping[str, Json]) -> Section:
    """How much there is, and where."""
    facts = [
        ("total_memories", str(stats.get("total"))),
        ("expiring_within_1h", str(stats.get("expiring_soon"))),
        ("links", str(stats.get("links_count"))),
        ("db_size_bytes", str(stats.get("db_size_bytes"))),
        ("dim_violations", str(stats.get("dim_violations", 0))),
    ]
    facts += [(f"tier::{name}", count) for name, count in _counts(stats.get("by_tier"), "tier")]
    namespaces = _counts(stats.get("by_namespace"), "namespace")[:_NAMESPACES_SHOWN]
    facts += [(f"ns::{name}", count) for name, count in namespaces]
    reads = stats.get("replica_reads")
    if isinstance(reads, dict):
        facts += [(f"replica_reads::{name}", str(count)) for name, count in reads.items() if count]
    if number(stats.get("dim_violations")) > 0:
        note = "vectors of a wrong length; `ai-memory reembed` replaces them"
        return Section("Storage", Severity.CRITICAL, facts, note)
    if isinstance(reads, dict) and reads.get("problem"):
        note = "no replica answers; the primary does"
        return Section("Storage", Severity.WARNING, facts, note)
    return Section("Storage", Severity.INFO, facts)


def sync(mesh: Mapping[str, Json]) -> Section:
    """The peers: who answers, how far behind each is, and what is kept apart."""
    if not mesh.get("enabled"):
        return Section("Sync", Severity.NOT_AVAILABLE, (), "this node has no peers")
    found = mesh.get("peers")
    peers = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    offsets = [abs(number(one.get("clock_offset_ms"))) for one in peers]
    facts = [
        ("peer_count", str(len(peers))),
        ("quorum_writes", f"{mesh.get('quorum_writes')} of {mesh.get('nodes')}"),
        ("max_skew_secs", f"{max(offsets, default=0) / 1000:.3f}"),
        ("quarantined", str(mesh.get("quarantined"))),
    ]
    notes: list[str] = []
    for one in peers:
        name, state = one.get("identity") or one.get("url"), one.get("state")
        facts.append((f"peer::{name}", f"{state}, {one.get('lag_entries')} entries behind"))
        if state not in {"up", "same_store"}:
            notes.append(f"{name} is {state}: {one.get('detail')}")
        if one.get("blocked"):
            notes.append(f"{name} cannot take this node's entries: {one['blocked']}")
    if number(mesh.get("quarantined")):
        notes.append("entries of peers are kept apart; `ai-memory federation status` says why")
    if max(offsets, default=0) > _SKEW_WARNED_MS:
        notes.append("clocks differ by more than the mesh tolerates")
    severity = Severity.WARNING if notes else Severity.INFO
    return Section("Sync", severity, facts, "; ".join(notes) or None)


def index(stats: Mapping[str, Json]) -> Section:
    """The vector index."""
    embedding = stats.get("embedding")
    vectors = embedding.get("vectors") if isinstance(embedding, dict) else None
    evictions = number(stats.get("index_evictions_total"))
    facts = [
        ("embeddings", str(vectors)),
        ("embedding_backlog", str(stats.get("embedding_backlog", 0))),
        ("evictions", str(evictions)),
    ]
    if evictions > 0:
        return Section("Index", Severity.CRITICAL, facts, "vectors fell out of the index")
    if number(vectors) >= EMBEDDINGS_WARNING:
        return Section("Index", Severity.WARNING, facts, "the index is nearly as large as planned")
    return Section("Index", Severity.INFO, facts)


def durability(*, flushes: bool, commit_waits_for: str) -> Section:
    """What an acknowledged write survives on a PostgreSQL server."""
    facts = [("fsync", "on" if flushes else "off"), ("synchronous_commit", commit_waits_for)]
    if not flushes:
        note = "fsync = off: what the server acknowledges does not survive its loss of power"
        return Section("Durability", Severity.WARNING, facts, note)
    if commit_waits_for == "off":
        note = "the node's own writes wait for the disk all the same"
        return Section("Durability", Severity.INFO, facts, note)
    return Section("Durability", Severity.INFO, facts)


def recall(capabilities: Mapping[str, Json]) -> Section:
    """How a recall is answered."""
    features = capabilities.get("features")
    features = features if isinstance(features, dict) else {}
    mode, tier = str(features.get("recall_mode_active")), str(capabilities.get("tier"))
    facts = [
        ("recall_mode_active", mode),
        ("reranker_active", str(features.get("reranker_active"))),
        ("tier", tier),
    ]
    if tier != "keyword" and mode in {"degraded", "disabled", "keyword_only"}:
        note = f"tier {tier} recalls by keyword only: no embedder is ready"
        return Section("Recall", Severity.WARNING, facts, note)
    return Section("Recall", Severity.INFO, facts)


def abilities(capabilities: Mapping[str, Json]) -> Section:
    """What the node says it can do."""
    names = (
        *("version", "schema_version", "storage_backend", "db_schema_version"),
        *("kg_backend", "kg_backend_reason"),
    )
    facts = [(name, str(capabilities[name])) for name in names if name in capabilities]
    return Section("Capabilities", Severity.INFO, facts)


def governance(capabilities: Mapping[str, Json]) -> Section:
    """Permissions and what waits for an approval."""
    permissions, approval = capabilities.get("permissions"), capabilities.get("approval")
    facts: list[tuple[str, str]] = []
    if isinstance(permissions, dict):
        facts.append(("permissions_mode", str(permissions.get("mode"))))
        decided = permissions.get("decision_counts")
        if isinstance(decided, dict):
            facts += [(f"decisions::{name}", str(count)) for name, count in decided.items()]
    if isinstance(approval, dict):
        facts.append(("pending_actions_total", str(approval.get("pending_requests"))))
    return Section("Governance", Severity.INFO, facts)


def webhook(capabilities: Mapping[str, Json]) -> Section:
    """Subscriptions."""
    hooks = capabilities.get("hooks")
    count = hooks.get("registered_count") if isinstance(hooks, dict) else None
    return Section("Webhook", Severity.INFO, [("subscription_count", str(count))])


def absent(name: str, why: str) -> Section:
    """A subject of which nothing can be said."""
    return Section(name, Severity.NOT_AVAILABLE, (), why)


def number(value: Json) -> float:
    """A count, 0 where there is none."""
    return value if isinstance(value, int | float) else 0


def _counts(rows: Json, key: str) -> list[tuple[str, str]]:
    found = rows if isinstance(rows, list) else []
    return [(str(row[key]), str(row["count"])) for row in found if isinstance(row, dict)]

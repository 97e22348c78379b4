"""What this node can do, as clients ask for it (http-api 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain.memory import MEMORY_KINDS
from app.services.tools.catalogue import TOOLS
from app.services.tools.tool import ALWAYS_ON, FAMILIES, PREFIX, TOOLS_VERSION, families_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.domain.memory import Json
    from app.observability.metrics import Metrics
    from app.services.embedding_state import EmbeddingState
    from app.store.protocol import Store, StoreStatus
    from app.store.sql.statistics import Activity

Document = dict[str, "Json"]

WEBHOOK_EVENTS: Final = (
    "memory_store",
    "memory_promote",
    "memory_delete",
    "memory_link_created",
    "memory_link_invalidated",
    "memory_consolidated",
    "approval_requested",
)
_LLM_TIERS: Final = frozenset({"smart", "autonomous"})
_VECTOR_TIERS: Final = frozenset({"semantic", "smart", "autonomous"})
_HOOK_EVENTS: Final = 25
_SKILL_TOOLS: Final = tuple(tool.name for tool in TOOLS if tool.short_name.startswith("skill_"))


@dataclass(frozen=True, slots=True)
class CapabilityFacts:
    """What the composition root knows of the node.

    `parts` names what is built into this node: `reflection`, `skills`, `forensic`, `rules`,
    `atomisation`, `curator`, `calibration`, `transcripts`, `auto_export`. The document says
    `planned` of all others, so that no agent relies on them.
    """

    version: str
    tier: str
    permissions_mode: str
    profile: str
    llm: str | None = None
    cross_encoder: str | None = None
    parts: frozenset[str] = frozenset()
    active_rules: int = 0
    decisions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Look:
    """Everything that one document is made of."""

    facts: CapabilityFacts
    embedding: EmbeddingState
    status: StoreStatus
    activity: Activity
    evictions: int
    kg_backend: str
    kg_backend_reason: str | None

    def word(self, part: str) -> str:
        return "implemented" if part in self.facts.parts else "planned"

    def has(self, part: str) -> bool:
        return part in self.facts.parts


class CapabilityService:
    """`embedding` is asked anew each time: a model may still be loading."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        embedding: Callable[[], EmbeddingState],
        facts: CapabilityFacts,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._embedding = embedding
        self._facts = facts
        # A profile that nobody knows is core, for the daemon (config 4.3).
        self._families = families_of(facts.profile) or frozenset({"core"})

    async def document(self, accepted: str | None) -> Document:
        """The document in the version that `accepted` names, by default the newest."""
        look = _Look(
            self._facts,
            self._embedding(),
            await self._store.status(),
            await self._store.activity(),
            self._metrics.index_evictions(),
            self._store.graph_backend or "cte",
            self._store.graph_reason,
        )
        version = (accepted or "").strip().lower().removeprefix("v")
        document = _base(look)
        if version != "1":
            _add_second(document, look)
            if version != "2":
                _add_third(document, look, self._families)
        document["storage_backend"] = look.status.backend
        document["db_schema_version"] = look.status.schema_version
        document["families"] = _family_block(self._families)
        return document

    def tools(self, *, verbose: bool) -> Document:
        """The tools of the daemon's profile with their parameter schemas."""
        return {
            "toolsVersion": TOOLS_VERSION,
            "tools": [
                tool.shown(verbose=verbose) for tool in TOOLS if tool.is_loaded(self._families)
            ],
        }


def _base(look: _Look) -> Document:
    facts, embedding = look.facts, look.embedding
    has_llm = facts.llm is not None and facts.tier in _LLM_TIERS
    features: Document = {
        "keyword_search": True,
        "semantic_search": embedding.is_ready,
        "hybrid_recall": embedding.is_ready,
        "query_expansion": has_llm,
        "auto_consolidation": has_llm,
        "auto_tagging": has_llm,
        "contradiction_analysis": has_llm,
        "cross_encoder_reranking": facts.cross_encoder is not None,
        "memory_reflection": look.has("reflection"),
        "embedder_loaded": embedding.is_ready,
    }
    return {
        "tier": facts.tier,
        "version": facts.version,
        "features": features,
        "models": {
            "embedding": embedding.model or "none",
            "embedding_dim": embedding.dim or 0,
            "llm": facts.llm or "none",
            "cross_encoder": facts.cross_encoder or "none",
        },
    }


def _recall_mode(look: _Look) -> str:
    if look.embedding.is_ready:
        return "hybrid"
    # A tier that promises vectors and has none works, but worse.
    return "degraded" if look.facts.tier in _VECTOR_TIERS else "keyword_only"


def _add_second(document: Document, look: _Look) -> None:
    facts = look.facts
    features = document["features"]
    assert isinstance(features, dict)
    features |= {
        "memory_reflection": {
            "planned": not look.has("reflection"),
            "version": "v0.7.0",
            "enabled": look.has("reflection"),
        },
        "recall_mode_active": _recall_mode(look),
        "reranker_active": "off" if facts.cross_encoder is None else "neural",
        "reflection_boost": {"boost": 1.2, "per_depth_increment": 0.05, "max_depth_cap": 3},
    }
    transcripts = look.has("transcripts")
    document |= {
        "schema_version": "2",
        "permissions": {
            "mode": facts.permissions_mode,
            "active_rules": facts.active_rules,
            "inheritance": "enforced",
            "decision_counts": {
                mode: facts.decisions.get(mode, 0) for mode in ("enforce", "advisory", "off")
            },
        },
        "hooks": {
            "registered_count": look.activity.subscriptions,
            "webhook_events": list(WEBHOOK_EVENTS),
            "hook_events_count": _HOOK_EVENTS,
        },
        "compaction": {"planned": True, "version": "v0.8+", "enabled": False},
        "approval": {"pending_requests": look.activity.pending},
        "transcripts": {"planned": not transcripts, "version": "0.7.0", "enabled": transcripts},
        "hnsw": {"evictions_total": look.evictions, "evicted_recently": False},
        "kg_backend": look.kg_backend,
        "memory_kinds": ["observation", "reflection"],
    }
    if look.kg_backend_reason is not None:
        document["kg_backend_reason"] = look.kg_backend_reason


def _add_third(document: Document, look: _Look, families: frozenset[str]) -> None:
    document |= {
        "schema_version": "3",
        "summary": _summary(look, families),
        "to_describe_to_user": _for_people(look),
        "tools": _tool_rows(families),
        "reflection": {
            "implemented": look.has("reflection"),
            "depth_bounded": True,
            "max_default": 3,
            "attestation": "Ed25519",
            "curator_mode": look.word("curator"),
        },
        "skills": {
            "implemented": look.has("skills"),
            "standard": "agentskills.io",
            "tools": list(_SKILL_TOOLS),
            "round_trip": "verified" if look.has("skills") else "planned",
        },
        "forensic": _all(
            look.word("forensic"),
            *("verify_reflection_chain", "export_forensic_bundle", "verify_forensic_bundle"),
        ),
        "governance": {
            "rules_engine": "operator_signed",
            "enforced_actions": ["Bash", "FilesystemWrite", "NetworkRequest", "ProcessSpawn"],
            "bypass_impossibility_tests": 6 if look.has("rules") else 0,
            "l1_6_attest": look.has("rules"),
            "agent_action_check": "substrate-authoritative-for-internal-ops",
            "rules_immutable_seed": True,
        },
        "atomisation": {
            **_all(
                look.word("atomisation"),
                *("tool", "cli", "auto", "recall_preference", "forensic", "curator"),
            ),
            "link_relation": "derives_from",
        },
        "memory_kind_vocab": _kind_vocabulary(look),
        "confidence_calibration": _calibration(look),
        "provenance_substrate_layer": _provenance(),
    }


def _all(word: str, *keys: str) -> Document:
    return dict.fromkeys(keys, word)


def _kind_vocabulary(look: _Look) -> Document:
    return {
        "vocabulary": list(MEMORY_KINDS),
        "recall_filter": "implemented",
        "cli_filter": "implemented",
        "auto_classify": look.word("auto_classify"),
        "auto_classify_modes": ["off", "regex_only", "regex_then_llm"],
    }


def _calibration(look: _Look) -> Document:
    return {
        **_all(
            look.word("calibration"),
            *("auto_derive", "shadow_mode", "freshness_decay", "calibration_cli"),
            "calibration_tool",
        ),
        "signals_schema": "v1",
        "default_half_life_days": 30.0,
        "tier_thresholds": {"confirmed": 0.95, "likely": 0.7, "ambiguous": 0.0},
    }


def _provenance() -> Document:
    return {
        "posture": "records who claimed what, when and from where; does not judge truth",
        "summary": "Every memory carries its owner, source, confidence, citations and version.",
        "enforcement_layers": ["http", "mcp", "cli", "store"],
        "honest_limitations": [
            "an agent id without a bound key is a claim, not a proof",
            "citations are kept as given and are not fetched",
        ],
        "spec_references": {"do_calculus": "none", "interactional_agency": "none"},
    }


def _summary(look: _Look, families: frozenset[str]) -> str:
    loaded = sum(tool.is_loaded(families) for tool in TOOLS)
    return (
        f"ai-memory {look.facts.version}, tier {look.facts.tier}, recall {_recall_mode(look)},"
        f" store {look.status.backend}; {loaded} of {len(TOOLS)} tools loaded"
    )


def _for_people(look: _Look) -> str:
    how = "by meaning and by words" if look.embedding.is_ready else "by words; no model is loaded"
    return f"I keep {look.activity.memories} memories and find them {how}."


def _tool_rows(families: frozenset[str]) -> list[Json]:
    rows: list[Json] = []
    for tool in TOOLS:
        loaded = tool.is_loaded(families)
        rows.append(
            {
                "name": tool.name,
                "family": tool.family,
                "loaded": loaded,
                "callable_now": loaded,
            }
        )
    return rows


def _family_block(families: frozenset[str]) -> Document:
    rows: Sequence[Json] = [
        {
            "name": family,
            "tool_count": len(names),
            "loaded": family in families,
            "tools": list(names),
        }
        for family in FAMILIES
        if (names := [tool.name for tool in TOOLS if tool.family == family])
    ]
    return {
        "schema_version": "v0.6.4-families-1",
        "always_on": [PREFIX + ALWAYS_ON],
        "families": list(rows),
    }

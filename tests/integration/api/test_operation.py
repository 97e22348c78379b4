"""Health, metrics, capabilities, tools, statistics and garbage collection over HTTP."""

from dataclasses import dataclass, field, replace

import pytest

from app.api.options import ApiOptions
from app.config.secret import Secret
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.entry import Draft
from app.observability.metrics import Metrics
from app.services.embedding_state import EmbeddingState
from app.services.health import HealthService
from app.services.maintenance import MaintenanceService
from app.services.tools.catalogue import TOOLS
from app.store.protocol import Decided, Needs
from tests.integration.api.conftest import open_api, open_store

METRIC_NAMES = [
    "store_total",
    "recall_total",
    "recall_latency_seconds",
    "autonomy_hook_total",
    "contradiction_detected_total",
    "webhook_dispatched_total",
    "webhook_failed_total",
    "memories",
    "hnsw_size",
    "hnsw_evictions_total",
    "hnsw_last_eviction_at_nanos",
    "subscriptions_active",
    "subscription_dlq_overflow_total",
    "curator_cycles_total",
    "curator_operations_total",
    "curator_cycle_duration_seconds",
    "federation_fanout_dropped_total",
    "federation_fanout_retry_total",
    "federation_partial_quorum_total",
    "federation_push_dlq_depth",
    "federation_push_dlq_quarantined_total",
    "auto_export_spawn_failed_total",
    "corrupt_provenance_rows_total",
]

V1_KEYS = {"tier", "version", "features", "models", "storage_backend", "db_schema_version"}
V2_KEYS = {
    *V1_KEYS,
    *("schema_version", "permissions", "hooks", "compaction", "approval", "transcripts", "hnsw"),
    *("kg_backend", "memory_kinds"),
}
V3_KEYS = {
    *V2_KEYS,
    *("summary", "to_describe_to_user", "tools", "reflection", "skills", "forensic", "governance"),
    *("atomisation", "memory_kind_vocab", "confidence_calibration", "provenance_substrate_layer"),
}


async def test_health_of_a_sound_store_has_v070s_keys(api):
    reply = await api.get("/api/v1/health")

    assert reply.status_code == 200
    assert reply.json() == {
        "status": "ok",
        "service": "ai-memory",
        "version": "0.7.0",
        "embedder_ready": False,
        "federation_enabled": False,
    }


async def test_health_of_a_closed_store_is_503_and_says_why(services, tmp_path, clock):
    store = open_store(tmp_path / "closed.db", clock)
    await store.close()
    sick = HealthService(store, EmbeddingState, services.federation)

    async with open_api(replace(services, health=sick)) as api:
        reply = await api.get("/api/v1/health")

    assert reply.status_code == 503
    assert reply.json()["status"] == "error"
    assert reply.json()["error"]


async def test_a_write_answers_what_reads_may_hand_in_and_nothing_else_does(api, store):
    """On one file every read shows every write; the token matters where copies lag."""
    token = "x-ai-memory-token"
    stored = await api.post("/api/v1/memories", json={"title": "a", "content": "b"})
    assert stored.headers[token] == f"v1:{store.identity.origin}.1"
    path = f"/api/v1/memories/{stored.json()['id']}"
    for given in (stored.headers[token], "v1", "no token of ours", "v1:" + "9" * 5_000):
        reply = await api.get(path, headers={token: given})
        assert reply.status_code == 200
        assert token not in reply.headers
    changed = await api.put(path, json={"content": "c"})
    assert changed.headers[token].endswith(".2")
    bulk = [{"title": title, "content": title} for title in "xyz"]
    assert (await api.post("/api/v1/memories/bulk", json=bulk)).headers[token].endswith(".5")
    refused = await api.post("/api/v1/memories", json={"title": "a", "content": "d"})
    assert refused.status_code == 409
    assert token not in refused.headers


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/metrics"])
async def test_metrics_have_every_name_of_v070(api, path):
    reply = await api.get(path)

    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    exposed = {line.split()[2] for line in reply.text.splitlines() if line.startswith("# TYPE")}
    assert {f"ai_memory_{name}" for name in METRIC_NAMES} <= exposed


async def test_two_apps_in_one_process_count_apart(services):
    other = Metrics()
    services.metrics.contradiction_detected_total.inc()

    assert b"contradiction_detected_total 1.0" in services.metrics.render()
    assert b"contradiction_detected_total 0.0" in other.render()


@pytest.mark.parametrize(
    ("accepted", "version", "keys"),
    [
        ("v1", None, V1_KEYS),
        ("1", None, V1_KEYS),
        ("v2", "2", V2_KEYS),
        ("2", "2", V2_KEYS),
        ("v3", "3", V3_KEYS),
        ("nonsense", "3", V3_KEYS),
        (None, "3", V3_KEYS),
    ],
)
async def test_capabilities_come_in_the_version_asked_for(api, store, accepted, version, keys):
    headers = {} if accepted is None else {"Accept-Capabilities": accepted}

    document = (await api.get("/api/v1/capabilities", headers=headers)).json()

    if store.graph_reason is not None and "kg_backend" in keys:
        keys = keys | {"kg_backend_reason"}
    assert set(document) == keys | {"families"}
    assert document.get("schema_version") == version
    assert document["storage_backend"] == (await store.status()).backend
    assert document["db_schema_version"] == 57


async def test_capabilities_claim_nothing_that_is_not_there(api):
    document = (await api.get("/api/v1/capabilities")).json()

    assert document["features"]["keyword_search"] is True
    assert document["features"]["semantic_search"] is False
    assert document["features"]["auto_tagging"] is False
    assert document["features"]["recall_mode_active"] == "keyword_only"
    assert document["skills"]["implemented"] is False


async def test_families_say_which_are_loaded(api):
    families = (await api.get("/api/v1/capabilities")).json()["families"]

    loaded = {row["name"]: row["loaded"] for row in families["families"]}
    assert loaded == {
        "core": True,
        "lifecycle": False,
        "graph": False,
        "governance": False,
        "power": False,
        "meta": False,
        "archive": False,
        "other": False,
    }
    assert sum(row["tool_count"] for row in families["families"]) == 74


async def test_tools_of_the_core_profile_are_seven_and_capabilities(api):
    listing = (await api.get("/api/v1/tools/list")).json()

    assert listing["toolsVersion"] == "2026-05-06"
    core = [tool.name for tool in TOOLS if tool.family == "core"]
    assert [tool["name"] for tool in listing["tools"]] == [*core, "memory_capabilities"]
    assert all(len(tool["description"]) <= 32 for tool in listing["tools"])
    assert listing["tools"][0]["inputSchema"]["required"] == ["title", "content"]


async def test_verbose_tools_describe_their_parameters(api):
    short = (await api.get("/api/v1/tools/list")).json()["tools"][0]["inputSchema"]["properties"]
    whole = (await api.get("/api/v1/tools/list?verbose=1")).json()["tools"][0]["inputSchema"]

    assert "description" not in short["tier"]
    assert "short 6 hours" in whole["properties"]["tier"]["description"]


async def test_stats_of_an_empty_store_have_every_key(api):
    stats = (await api.get("/api/v1/stats")).json()

    assert stats.pop("db_size_bytes") > 0
    embedding = {"ready": False, "model": None, "dim": None}
    assert stats == {
        "total": 0,
        "live": 0,
        "expired_pending_gc": 0,
        "expiring_soon": 0,
        "by_tier": [],
        "by_namespace": [],
        "links_count": 0,
        "dim_violations": 0,
        "index_evictions_total": 0,
        "embedding_backlog": 0,
        "embedding": {**embedding, "vectors": 0, "vectors_outside_index": 0},
    }


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/stats"), ("POST", "/api/v1/gc")])
async def test_administration_is_refused_with_a_hint_when_nobody_is_an_admin(
    make_api, method, path
):
    api = await make_api(ApiOptions())

    reply = await api.request(method, path)

    assert reply.status_code == 403
    assert reply.json()["error"] == "admin role required"
    assert "AI_MEMORY_ADMIN_AGENT_IDS" in reply.json()["hint"]


async def test_metrics_need_the_key_and_health_does_not(make_api):
    api = await make_api(ApiOptions(api_key=Secret("k"), keyless_loopback=False))

    assert (await api.get("/metrics")).status_code == 401
    assert (await api.get("/api/v1/health")).status_code == 200
    assert (await api.get("/api/v1/health/")).status_code == 401


async def store_memory(api, title, **fields):
    body = {"title": title, "content": f"about {title}", **fields}
    reply = await api.post("/api/v1/memories", json=body)
    assert reply.status_code == 201, reply.text
    return reply.json()["id"]


async def test_stats_count_expired_rows_until_they_are_collected(api, clock):
    await store_memory(api, "kept", tier="long", namespace="a")
    await store_memory(api, "brief", tier="mid", namespace="a", ttl_secs=60)
    await store_memory(api, "hour", tier="mid", namespace="b", ttl_secs=3_000)
    clock.advance(minutes=2)

    before = (await api.get("/api/v1/stats")).json()
    collected = (await api.post("/api/v1/gc")).json()
    after = (await api.get("/api/v1/stats")).json()

    assert (before["total"], before["live"], before["expired_pending_gc"]) == (3, 2, 1)
    assert before["expiring_soon"] == 1
    assert before["by_tier"] == [{"tier": "mid", "count": 2}, {"tier": "long", "count": 1}]
    assert before["by_namespace"] == [
        {"namespace": "a", "count": 2},
        {"namespace": "b", "count": 1},
    ]
    assert collected == {"expired_deleted": 1, "archive_purged": 0, "standards_cleared": 0}
    assert (after["total"], after["live"], after["expired_pending_gc"]) == (2, 2, 0)


async def test_collected_rows_go_to_the_archive(api, clock):
    expired = await store_memory(api, "brief", ttl_secs=60)
    clock.advance(minutes=2)
    await api.post("/api/v1/gc")

    archived = (await api.get("/api/v1/archive")).json()["archived"]

    assert [(row["id"], row["archive_reason"]) for row in archived] == [(expired, "ttl_expired")]


async def test_archived_rows_are_erased_after_their_time(services, store, clock, make_api):
    keeping = MaintenanceService(
        store,
        clock,
        services.metrics,
        EmbeddingState,
        archive_on_gc=True,
        archive_max_days=30,
    )
    async with open_api(replace(services, maintenance=keeping)) as api:
        await store_memory(api, "brief", ttl_secs=60)
        clock.advance(days=29)
        first = (await api.post("/api/v1/gc")).json()
        clock.advance(days=31)
        second = (await api.post("/api/v1/gc")).json()

        assert (first["expired_deleted"], first["archive_purged"]) == (1, 0)
        assert (second["expired_deleted"], second["archive_purged"]) == (0, 1)
        assert (await api.get("/api/v1/archive")).json()["archived"] == []


async def test_metrics_count_the_rows_at_the_time_of_the_scrape(api):
    await store_memory(api, "one")

    assert "ai_memory_memories 1.0" in (await api.get("/metrics")).text


@dataclass(frozen=True)
class Append:
    """A write that appends given drafts."""

    drafts: tuple[Draft, ...]
    needs: Needs = field(default_factory=Needs)

    def decide(self, view):
        return Decided(lambda _: None, self.drafts)


async def test_a_standard_whose_memory_was_deleted_is_unbound(api, store, clock):
    standard = await store_memory(api, "rules", namespace="team")
    at = format_instant(clock.now())
    bind = drafts.standard_set("team", standard, None, at, (), "local")
    await store.submit(Append((bind,)))

    bound = (await api.post("/api/v1/gc")).json()
    delete = drafts.delete([standard], "local", at, archived=False, reason="delete")
    await store.submit(Append((delete,)))
    unbound = (await api.post("/api/v1/gc")).json()

    assert bound["standards_cleared"] == 0
    assert unbound["standards_cleared"] == 1
    assert (await api.post("/api/v1/gc")).json()["standards_cleared"] == 0


async def test_a_standard_whose_memory_is_still_on_its_way_stays(api, store, clock):
    at = format_instant(clock.now())
    unknown = "11111111-2222-4333-8444-555555555555"
    await store.submit(Append((drafts.standard_set("team", unknown, None, at, (), "local"),)))

    assert (await api.post("/api/v1/gc")).json()["standards_cleared"] == 0

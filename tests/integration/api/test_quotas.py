"""`POST /quota/status` over a real store."""

from app.api.options import ApiOptions

ANN = {"X-Agent-Id": "ai:ann"}
MEMORY = {"title": "Tea", "content": "green", "namespace": "kitchen", "tier": "long"}


async def own(api, **body):
    body = {"agent_id": "ai:ann", **body}
    reply = await api.post("/api/v1/quota/status", json=body, headers=ANN)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_an_agent_without_writes_has_all_of_its_quota(api):
    found = await own(api)

    assert found == {
        "agent_id": "ai:ann",
        "namespace": "_global",
        "max_memories_per_day": 1_000,
        "max_storage_bytes": 104_857_600,
        "max_links_per_day": 5_000,
        "current_memories_today": 0,
        "current_storage_bytes": 0,
        "current_links_today": 0,
        "day_started_at": found["created_at"][:10],
        "created_at": found["updated_at"],
        "updated_at": found["created_at"],
    }


async def test_writes_count_in_their_namespace_and_over_all(api):
    await api.post("/api/v1/memories", json=MEMORY, headers=ANN)
    await api.post("/api/v1/memories", json={**MEMORY, "namespace": "garden"}, headers=ANN)

    counted = {
        namespace: (await own(api, **({} if namespace is None else {"namespace": namespace})))
        for namespace in (None, "kitchen", "attic")
    }

    assert [one["current_memories_today"] for one in counted.values()] == [2, 1, 0]
    assert counted[None]["current_storage_bytes"] == 2 * counted["kitchen"]["current_storage_bytes"]


async def test_a_new_day_starts_from_nothing_but_for_the_bytes(api, clock):
    await api.post("/api/v1/memories", json=MEMORY, headers=ANN)
    before = await own(api)
    clock.advance(days=1)

    found = await own(api)

    assert (before["current_memories_today"], found["current_memories_today"]) == (1, 0)
    assert found["current_storage_bytes"] == before["current_storage_bytes"] > 0
    assert found["day_started_at"] > before["day_started_at"]


async def test_admins_see_everybody(api):
    await api.post("/api/v1/memories", json=MEMORY, headers=ANN)
    await api.post("/api/v1/memories", json=MEMORY | {"title": "Coffee"})

    everybody = (await api.post("/api/v1/quota/status", json={})).json()
    kitchen = (await api.post("/api/v1/quota/status", json={"namespace": "kitchen"})).json()

    assert everybody["count"] == len(everybody["quotas"]) == 4
    assert {row["agent_id"] for row in kitchen["quotas"]} == {"ai:ann", "local"}
    assert {row["namespace"] for row in kitchen["quotas"]} == {"kitchen"}


async def test_others_see_their_own_only(make_api):
    api = await make_api(ApiOptions())

    everybody = await api.post("/api/v1/quota/status", json={}, headers=ANN)
    other = await api.post("/api/v1/quota/status", json={"agent_id": "ai:bob"}, headers=ANN)

    assert (everybody.status_code, everybody.json()["error"]) == (403, "admin role required")
    assert other.status_code == 403
    text = "agent_id body parameter does not match authenticated caller"
    assert other.json()["error"] == text

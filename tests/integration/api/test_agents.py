"""`/agents` over a real store."""

import base64
import json
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.api.options import ApiOptions
from app.services.commands.agents import registration_id

AGENT = {"agent_id": "ai:planner", "agent_type": "ai:claude", "capabilities": ["recall", "store"]}


def public_key() -> str:
    return base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


async def test_a_registered_agent_is_listed_with_all_its_facts(api):
    reply = await api.post("/api/v1/agents", json=AGENT)

    assert reply.status_code == 201
    assert reply.json() == {"registered": True, "id": registration_id("ai:planner"), **AGENT}
    listed = (await api.get("/api/v1/agents")).json()
    (row,) = listed["agents"]
    assert listed["count"] == 1
    assert row.keys() == {*AGENT, "registered_at", "last_seen_at"}
    assert AGENT.items() <= row.items()
    assert row["registered_at"] == row["last_seen_at"]


async def test_registering_again_keeps_the_first_time_and_takes_the_new_facts(api, clock):
    await api.post("/api/v1/agents", json=AGENT)
    (first,) = (await api.get("/api/v1/agents")).json()["agents"]
    clock.advance(hours=1)

    await api.post("/api/v1/agents", json={"agent_id": "ai:planner", "agent_type": "human"})

    (row,) = (await api.get("/api/v1/agents")).json()["agents"]
    assert row["agent_type"] == "human"
    assert row["capabilities"] == []
    assert row["registered_at"] == first["registered_at"] < row["last_seen_at"]


async def test_a_registration_is_a_memory_that_everybody_may_read(api):
    made = (await api.post("/api/v1/agents", json=AGENT)).json()

    reply = await api.get(f"/api/v1/memories/{made['id']}", headers={"X-Agent-Id": "ai:other"})

    memory = reply.json()["memory"]
    assert (memory["namespace"], memory["title"]) == ("_agents", "agent:ai:planner")
    assert (memory["tier"], memory["source"]) == ("long", "system")
    assert memory["tags"] == ["agent-registration"]
    assert memory["metadata"]["agent_id"] == "ai:planner"
    assert memory["metadata"]["scope"] == "collective"
    assert AGENT.items() <= json.loads(memory["content"]).items()


async def test_a_removed_registration_comes_back_without_its_old_key(api):
    made = (await api.post("/api/v1/agents", json=AGENT)).json()
    await api.put("/api/v1/agents/ai:planner/pubkey", json={"pubkey_b64": public_key()})
    owner = {"X-Agent-Id": "ai:planner"}
    assert (await api.delete(f"/api/v1/memories/{made['id']}", headers=owner)).status_code == 200
    assert (await api.get("/api/v1/agents")).json()["count"] == 0

    again = (await api.post("/api/v1/agents", json=AGENT)).json()

    memory = (await api.get(f"/api/v1/memories/{again['id']}")).json()["memory"]
    assert "agent_pubkey" not in memory["metadata"]
    assert "agent_pubkey" not in json.loads(memory["content"])


async def test_an_erased_registration_comes_back_under_another_id(api):
    made = (await api.post("/api/v1/agents", json=AGENT)).json()
    gone = await api.delete(
        f"/api/v1/memories/{made['id']}?purge=true", headers={"X-Agent-Id": "ai:planner"}
    )
    assert gone.status_code == 200

    again = (await api.post("/api/v1/agents", json=AGENT)).json()

    assert again["id"] == registration_id("ai:planner", 1)
    assert (await api.get("/api/v1/agents")).json()["count"] == 1


async def test_a_key_is_bound_to_a_registered_agent(api):
    made = (await api.post("/api/v1/agents", json=AGENT)).json()
    key = public_key()

    reply = await api.put("/api/v1/agents/ai:planner/pubkey", json={"pubkey_b64": key})

    assert reply.status_code == 200
    assert reply.json() == {"bound": True, "agent_id": "ai:planner"}
    memory = (await api.get(f"/api/v1/memories/{made['id']}")).json()["memory"]
    assert memory["metadata"]["agent_pubkey"] == key
    assert json.loads(memory["content"])["agent_pubkey"] == key
    # Registering again is no reason to forget the key.
    await api.post("/api/v1/agents", json=AGENT)
    memory = (await api.get(f"/api/v1/memories/{made['id']}")).json()["memory"]
    assert memory["metadata"]["agent_pubkey"] == key


@pytest.mark.parametrize("agent_id", ["team/planner", "spiffe://domain/a/b"])
async def test_an_id_with_slashes_is_percent_encoded_in_a_path(api, agent_id):
    await api.post("/api/v1/agents", json={"agent_id": agent_id, "agent_type": "human"})
    place = quote(agent_id, safe="")

    reply = await api.put(f"/api/v1/agents/{place}/pubkey", json={"pubkey_b64": public_key()})

    assert reply.json() == {"bound": True, "agent_id": agent_id}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("not base64!", "it is not base64"),
        (base64.b64encode(b"short").decode(), "it has 5 bytes instead of 32"),
        (base64.b64encode(b"\x02" + bytes(31)).decode(), "it is no point of the curve"),
        (base64.b64encode(b"\xff" * 32).decode(), "it is no point of the curve"),
    ],
)
async def test_what_is_no_public_key_is_refused_in_words(api, key, reason):
    await api.post("/api/v1/agents", json=AGENT)

    reply = await api.put("/api/v1/agents/ai:planner/pubkey", json={"pubkey_b64": key})

    assert reply.status_code == 400
    text = f"agent_pubkey is not a valid Ed25519 public key: {reason}"
    assert reply.json()["error"] == text


async def test_a_key_needs_a_registered_agent(api):
    reply = await api.put("/api/v1/agents/ai:nobody/pubkey", json={"pubkey_b64": public_key()})

    assert reply.status_code == 404
    assert reply.json()["error"] == "agent 'ai:nobody' is not registered"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"agent_id": "daemon", "agent_type": "human"}, 400, "invalid agent_id: "),
        ({"agent_id": "a b", "agent_type": "human"}, 400, "invalid agent_id: "),
        ({"agent_id": "a", "agent_type": "robot"}, 400, "invalid agent_type 'robot'"),
        ({"agent_id": "a", "agent_type": "human", "capabilities": [" "]}, 400, "capability cannot"),
        ({"agent_type": "human"}, 422, "missing required field: agent_id"),
        ({"agent_id": 5, "agent_type": "human"}, 422, "invalid request body: agent_id"),
    ],
)
async def test_bad_registrations_are_refused_in_words(api, body, status, error):
    reply = await api.post("/api/v1/agents", json=body)

    assert reply.status_code == status
    assert reply.json()["error"].startswith(error)


async def test_listing_and_binding_are_for_admins_and_registering_is_for_all(make_api):
    api = await make_api(ApiOptions())

    assert (await api.post("/api/v1/agents", json=AGENT)).status_code == 201
    for reply in (
        await api.get("/api/v1/agents"),
        await api.put("/api/v1/agents/ai:planner/pubkey", json={"pubkey_b64": public_key()}),
    ):
        assert reply.status_code == 403
        assert reply.json()["error"] == "admin role required"
        assert "agent_ids" in reply.json()["hint"]

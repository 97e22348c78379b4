"""What a node holds before it is attacked, so that attacks get past "not found"."""

from typing import Final

import httpx

SEED_IDS: Final = tuple(f"f0000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
"""Also in `schemathesis.toml`."""


def store_seeds(url: str) -> None:
    """Three memories, two linked, one archived, and an agent; what is still there is merged."""
    memories = [
        {
            "id": memory_id,
            "tier": "long",
            "namespace": "fuzz",
            "title": f"seed {number}",
            "content": f"deploys number {number}",
            "tags": ["seed"],
            "priority": 5,
            "confidence": 1.0,
            "source": "api",
            "access_count": 0,
            "created_at": "2026-01-01T00:00:00+00:00",
            "updated_at": "2026-01-01T00:00:00+00:00",
        }
        for number, memory_id in enumerate(SEED_IDS)
    ]
    link = {
        "source_id": memories[0]["id"],
        "target_id": memories[1]["id"],
        "relation": "related_to",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    with httpx.Client(base_url=url, trust_env=False) as client:
        imported = client.post("/api/v1/import", json={"memories": memories, "links": [link]})
        assert imported.status_code == 200, imported.text
        agent = {"agent_id": "local", "agent_type": "human"}
        registered = client.post("/api/v1/agents", json=agent)
        assert registered.status_code in {200, 201}, registered.text
        archived = client.post("/api/v1/archive", json={"ids": [memories[2]["id"]]})
        assert archived.status_code == 200, archived.text

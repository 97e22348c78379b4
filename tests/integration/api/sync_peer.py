"""A v0.7.0 node as its pushes show it."""

from collections.abc import Mapping
from typing import Any

from httpx import Response

from tests.integration.api.conftest import Api

PEER = "host:old-node"
ID = "5f0c2a66-0000-4000-8000-00000000000{}"
MADE_AT = "2026-06-01T10:00:00.123456789+00:00"

Row = dict[str, Any]


def row(number: int = 1, **fields: object) -> Row:
    """A memory as v0.7.0 sends it."""
    return {
        "id": ID.format(number),
        "tier": "mid",
        "namespace": "work",
        "title": f"Row {number}",
        "content": f"text {number}",
        "tags": ["old"],
        "priority": 5,
        "confidence": 1.0,
        "source": "api",
        "access_count": 0,
        "created_at": MADE_AT,
        "updated_at": MADE_AT,
        "metadata": {"agent_id": "ai:ann", "scope": "team"},
        "reflection_depth": 0,
        "memory_kind": "observation",
        "citations": [],
        "confidence_source": "caller_provided",
        "version": 1,
        **fields,
    }


async def pushed(
    api: Api, *memories: object, headers: Mapping[str, str] | None = None, **lists: object
) -> Row:
    """The answer to a push that is taken."""
    reply = await push(api, *memories, headers=headers, **lists)
    assert reply.status_code == 200, reply.text
    answer: Row = reply.json()
    return answer


async def push(
    api: Api, *memories: object, headers: Mapping[str, str] | None = None, **lists: object
) -> Response:
    body = {"sender_agent_id": PEER, "memories": list(memories), **lists}
    sent = {"x-peer-id": PEER, **(headers or {})}
    return await api.post("/api/v1/sync/push", json=body, headers=sent)


async def since(api: Api, **params: str | int) -> Row:
    """The answer to a pull that is let in."""
    reply = await api.get("/api/v1/sync/since", params=params)
    assert reply.status_code == 200, reply.text
    answer: Row = reply.json()
    return answer

"""`/agents`: who writes here."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from litestar import Controller, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.api.request import ApiRequest
from app.api.schemas.agents import (
    AgentsBody,
    BindKeyBody,
    BoundBody,
    RegisterAgentBody,
    RegisteredBody,
    agent_row,
    registered_body,
)
from app.services.bundle import Services
from app.services.caller import Caller

_PATH: Final = "/api/v1/agents"
_PUBKEY: Final = "/pubkey"
_NESTED: Final = [
    "".join(f"/{{part_{number}:str}}" for number in range(parts)) + _PUBKEY for parts in range(2, 9)
]
"""Ids with slashes: `%2F` has become a slash when a path is routed."""


class AgentsController(Controller):
    """Agents, their types and their keys."""

    path = _PATH
    tags = ("Agents",)

    @get("/", summary="List registered agents")
    async def list_agents(
        self, services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> AgentsBody:
        """All of them, oldest first. Admins only."""
        agents = [agent_row(agent) for agent in await services.agents.all(caller)]
        return AgentsBody(len(agents), agents)

    @post("/", summary="Register an agent")
    async def register(
        self,
        data: JSONBody[RegisterAgentBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> RegisteredBody:
        """Again is fine: the time of the first registration stays."""
        agent = await services.agents.register(
            caller, data.agent_id, data.agent_type, data.capabilities or ()
        )
        return registered_body(agent)

    @put("/{agent_id:str}/pubkey", summary="Bind an agent's public key")
    async def bind_key(
        self,
        agent_id: FromPath[str],
        data: JSONBody[BindKeyBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> BoundBody:
        """From now on a signed store by this agent is verified with it. Admins only."""
        agent = await services.agents.bind_key(caller, agent_id, data.pubkey_b64)
        return BoundBody(True, agent.agent_id)

    @put(_NESTED, include_in_schema=False)
    async def bind_key_of_nested(
        self,
        request: ApiRequest,
        data: JSONBody[BindKeyBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> BoundBody:
        """The same for an id like `spiffe://domain/workload`, percent-encoded."""
        # Routing joins double slashes; the raw path has them all.
        place = request.scope["raw_path"].decode("ascii", "replace")
        agent_id = unquote(place.removeprefix(_PATH + "/").removesuffix(_PUBKEY))
        agent = await services.agents.bind_key(caller, agent_id, data.pubkey_b64)
        return BoundBody(True, agent.agent_id)

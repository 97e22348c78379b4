"""`/agents`: who writes here."""

from __future__ import annotations

from litestar import Controller, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

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


class AgentsController(Controller):
    """Agents, their types and their keys."""

    path = "/api/v1/agents"
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

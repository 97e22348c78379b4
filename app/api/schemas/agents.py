"""Agents on the wire (http-api 2.9 and 3.8)."""

from __future__ import annotations

import msgspec
from pydantic import Field

from app.api.schemas.body import Body
from app.services.commands.agents import Agent


class RegisterAgentBody(Body):
    """Who is introduced; the caller may be somebody else."""

    agent_id: str = Field(
        description="At most 128 of `A-Z a-z 0-9 _ - : @ . /`.", examples=["ai:planner"]
    )
    agent_type: str = Field(description="`human`, `system` or `ai:<name>`.", examples=["ai:claude"])
    capabilities: list[str] | None = Field(
        default=None, description="At most 50 words.", examples=[["recall", "store"]]
    )


class BindKeyBody(Body):
    """The key that the agent signs with."""

    pubkey_b64: str = Field(description="An Ed25519 public key, 32 bytes in base64.")


class AgentRow(msgspec.Struct):
    """One registered agent."""

    agent_id: str
    agent_type: str
    capabilities: tuple[str, ...]
    registered_at: str
    last_seen_at: str


class AgentsBody(msgspec.Struct):
    """All registered agents, oldest first."""

    count: int
    agents: list[AgentRow]


class RegisteredBody(msgspec.Struct):
    """`id` is the registration's own memory."""

    registered: bool
    id: str
    agent_id: str
    agent_type: str
    capabilities: tuple[str, ...]


class BoundBody(msgspec.Struct):
    """The key is bound."""

    bound: bool
    agent_id: str


def agent_row(agent: Agent) -> AgentRow:
    return AgentRow(
        agent.agent_id,
        agent.agent_type,
        agent.capabilities,
        agent.registered_at,
        agent.last_seen_at,
    )


def registered_body(agent: Agent) -> RegisteredBody:
    return RegisteredBody(
        True, agent.memory_id, agent.agent_id, agent.agent_type, agent.capabilities
    )

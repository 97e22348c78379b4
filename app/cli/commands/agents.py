"""`agents`: who is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.cli.connection import connect
from app.cli.output import emit, rows_of
from app.cli.session import Session, note
from app.cli.verb import Family, verb
from app.cli.words import split_words

if TYPE_CHECKING:
    from app.domain.memory import Json


@click.group("agents", cls=Family, invoke_without_command=True)
@click.pass_context
def agents(context: click.Context) -> None:
    """List registered agents, or register one."""
    if context.invoked_subcommand is None:
        _show(context.ensure_object(Session))


@verb("list")
def list_(session: Session) -> None:
    """List registered agents."""
    _show(session)


def _show(session: Session) -> None:
    with connect(session) as node:
        reply = node.call("GET", "/agents").body
    rows = rows_of(reply.get("agents"))
    if not rows:
        note("no agents are registered")
    lines = [f"{row.get('agent_id')} ({row.get('agent_type')})" for row in rows]
    emit(session, {"count": reply.get("count"), "agents": reply.get("agents")}, "\n".join(lines))


@verb("register")
@click.option("--agent-id", required=True, help="The new agent.")
@click.option("--agent-type", required=True, help="human, system or ai:NAME.")
@click.option("--capabilities", default="", help="Separated by commas.")
def register(session: Session, agent_id: str, agent_type: str, capabilities: str) -> None:
    """Register an agent, or change its type and capabilities."""
    body: dict[str, Json] = {
        "agent_id": agent_id,
        "agent_type": agent_type,
        "capabilities": list(split_words(capabilities)),
    }
    with connect(session) as node:
        reply = node.call("POST", "/agents", body=body).body
    emit(session, reply, f"registered: {agent_id} ({agent_type})")


for _command in (list_, register):
    agents.add_command(_command)

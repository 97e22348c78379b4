"""What a store holds and may do: `namespaces`, `stats`, `gc`, `quota-status`, `capabilities`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.cli.connection import connect
from app.cli.output import emit, emit_json, rows_of, table
from app.cli.session import Session, note
from app.cli.verb import verb

if TYPE_CHECKING:
    from app.domain.memory import Json


@verb("namespaces")
def namespaces(session: Session) -> None:
    """List the namespaces and how many memories each has."""
    with connect(session) as node:
        reply = node.call("GET", "/namespaces").body
    rows = rows_of(reply.get("namespaces"))
    if not rows:
        note("no namespaces")
    text = table([(str(row.get("namespace")), row.get("count")) for row in rows])
    emit(session, {"namespaces": reply.get("namespaces")}, text)


@verb("stats")
def stats(session: Session) -> None:
    """Show how many memories there are, by tier and namespace."""
    with connect(session) as node:
        reply = node.call("GET", "/stats").body
    rows: list[tuple[str, object]] = [
        (name, reply.get(key))
        for name, key in (
            ("memories", "total"),
            ("expiring within 1 h", "expiring_soon"),
            ("links", "links_count"),
            ("database bytes", "db_size_bytes"),
        )
    ]
    rows += [(f"tier {row.get('tier')}", row.get("count")) for row in rows_of(reply.get("by_tier"))]
    rows += [
        (f"namespace {row.get('namespace')}", row.get("count"))
        for row in rows_of(reply.get("by_namespace"))
    ]
    emit(session, reply, table(rows))


@verb("gc")
def gc(session: Session) -> None:
    """Move expired memories to the archive now."""
    with connect(session) as node:
        reply = node.call("POST", "/gc").body
    emit(session, reply, f"{reply.get('expired_deleted')} expired memories collected")


@verb("quota-status")
@click.option("--namespace", "-n", help="In this namespace; else in all together.")
def quota_status(session: Session, namespace: str | None) -> None:
    """Show the agent's quotas and what is used of them."""
    body: dict[str, Json] = {"agent_id": session.agent_id}
    if namespace is not None:
        body["namespace"] = namespace
    with connect(session) as node:
        reply = node.call("POST", "/quota/status", body=body).body
    emit(session, reply, table([(name, value) for name, value in reply.items()]))


@verb("capabilities")
def capabilities(session: Session) -> None:
    """Show what the node can do, as JSON."""
    with connect(session) as node:
        emit_json(node.call("GET", "/capabilities").body)

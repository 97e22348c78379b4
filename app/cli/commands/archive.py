"""`archive`: what was deleted, forgotten or has expired."""

from __future__ import annotations

import click

from app.cli.connection import NodeRefusedError, connect, segment
from app.cli.output import emit, memory_line, rows_of, table
from app.cli.session import Session, note
from app.cli.verb import Family, verb
from app.domain.errors import NotFoundError


@click.group("archive", cls=Family)
def archive() -> None:
    """Look at archived memories, bring them back, or erase them."""


@verb("list")
@click.option("--namespace", "-n", help="Only here.")
@click.option("--limit", default=50, show_default=True, type=int)
@click.option("--offset", default=0, show_default=True, type=click.IntRange(min=0))
def list_(session: Session, namespace: str | None, limit: int, offset: int) -> None:
    """List archived memories, the newest first."""
    query = {"namespace": namespace, "limit": limit, "offset": offset}
    with connect(session) as node:
        reply = node.call("GET", "/archive", query=query).body
    rows = rows_of(reply.get("archived"))
    if not rows:
        note("the archive is empty")
    lines = [f"{memory_line(row)} {row.get('archive_reason')}" for row in rows]
    document = {"archived": reply.get("archived"), "count": reply.get("count")}
    emit(session, document, "\n".join(lines))


@verb("restore")
@click.argument("id")
def restore(session: Session, id: str) -> None:
    """Bring a memory back from the archive."""
    with connect(session) as node:
        try:
            reply = node.call("POST", f"/archive/{segment(id)}/restore").body
        except NodeRefusedError as error:
            if error.is_not_found:
                raise NotFoundError(f"not found in archive: {id}") from error
            raise
    emit(session, {"restored": True, "id": reply.get("id", id)}, f"restored: {id}")


@verb("purge")
@click.option("--older-than-days", type=int, help="Only what was archived before; else all.")
def purge(session: Session, older_than_days: int | None) -> None:
    """Erase archived memories for good."""
    with connect(session) as node:
        reply = node.call("DELETE", "/archive", query={"older_than_days": older_than_days}).body
    emit(session, {"purged": reply.get("purged")}, f"purged {reply.get('purged')} memories")


@verb("stats")
def stats(session: Session) -> None:
    """Count what is in the archive."""
    with connect(session) as node:
        reply = node.call("GET", "/archive/stats").body
    rows: list[tuple[str, object]] = [("archived", reply.get("archived_total"))]
    rows += [
        (f"namespace {row.get('namespace')}", row.get("count"))
        for row in rows_of(reply.get("by_namespace"))
    ]
    emit(session, reply, table(rows))


for _command in (list_, restore, purge, stats):
    archive.add_command(_command)

"""One memory by its id: `get`, `update`, `delete`, `promote`; and `forget`, `link`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypedDict

import click
from typing_extensions import Unpack

from app.cli.connection import Node, NodeRefusedError, connect, segment
from app.cli.output import emit, emit_json, object_of, rows_of
from app.cli.session import Session
from app.cli.verb import verb
from app.cli.words import check_tier, split_words
from app.domain.errors import InvalidInputError, NotFoundError
from app.domain.memory import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.memory import Json

_UUID_CHARACTERS: Final = 36


@verb("get")
@click.argument("id")
def get(session: Session, id: str) -> None:
    """Show a memory and its links. ID may be a prefix that no other id has."""
    with connect(session) as node:
        reply = _ask(node, "GET", id)
    memory, links = object_of(reply.get("memory")), rows_of(reply.get("links"))
    if session.options.json:
        emit_json({"memory": dict(memory), "links": reply.get("links")})
        return
    emit_json(memory)
    for link in links:
        click.echo(f"link: {link.get('source_id')} --{link.get('relation')}-> {link['target_id']}")


class UpdateWords(TypedDict):
    """The options of `update`."""

    id: str
    title: str | None
    content: str | None
    tier: str | None
    namespace: str | None
    tags: str | None
    priority: int | None
    confidence: float | None
    expires_at: str | None


@verb("update")
@click.argument("id")
@click.option("--title", "-T")
@click.option("--content", "-c")
@click.option("--tier", "-t", help="short, mid or long; a tier is never lowered.")
@click.option("--namespace", "-n")
@click.option("--tags", help="Separated by commas; they replace the old ones.")
@click.option("--priority", "-p", type=int, help="1 to 10.")
@click.option("--confidence", type=float, help="0 to 1.")
@click.option("--expires-at", help='RFC 3339; "" takes the expiry away.')
def update(session: Session, /, **words: Unpack[UpdateWords]) -> None:
    """Change what is given of a memory."""
    check_tier(words["tier"])
    body: dict[str, Json] = {}
    for name in ("title", "content", "tier", "namespace", "priority", "confidence", "expires_at"):
        if words[name] is not None:
            body[name] = words[name]
    if words["tags"] is not None:
        body["tags"] = list(split_words(words["tags"]))
    if not body:
        raise InvalidInputError("nothing to update: give at least one option")
    with connect(session) as node:
        memory = _ask(node, "PUT", words["id"], body=body)
    emit(session, memory, f"updated: {memory.get('id')} [{memory.get('title')}]")


@verb("delete")
@click.argument("id")
def delete(session: Session, id: str) -> None:
    """Delete a memory; a copy goes to the archive unless the settings keep none."""
    with connect(session) as node:
        full_id = _full_id(node, id)
        reply = _ask(node, "DELETE", full_id)
    if _is_pending(session, reply):
        return
    emit(session, {**reply, "id": full_id}, f"deleted: {full_id}")


@verb("promote")
@click.argument("id")
@click.option("--to-namespace", help="Copy it into this ancestor of its namespace instead.")
def promote(session: Session, id: str, to_namespace: str | None) -> None:
    """Keep a memory for good: the long tier, without an expiry."""
    with connect(session) as node:
        if to_namespace is not None:
            _copy_up(session, node, id, to_namespace)
            return
        reply = _ask(node, "POST", id, "/promote")
    if not _is_pending(session, reply):
        emit(session, reply, f"promoted: {reply.get('id')} [{reply.get('tier')}]")


def _copy_up(session: Session, node: Node, id: str, to_namespace: str) -> None:
    """A copy in an ancestor namespace, and a link from it to where it came from."""
    memory = object_of(_ask(node, "GET", id).get("memory"))
    source_id, namespace = str(memory["id"]), str(memory["namespace"])
    if not namespace.startswith(f"{to_namespace}/"):
        raise InvalidInputError(f"{to_namespace} is not an ancestor of {namespace}")
    names = ("title", "content", "tier", "tags", "priority", "confidence", "source", "citations")
    body: dict[str, Json] = {name: memory[name] for name in names if name in memory}
    body |= {"namespace": to_namespace, "force": True, "kind": memory.get("memory_kind")}
    if "source_uri" in memory:
        body["source_uri"] = memory["source_uri"]
    clone = node.call("POST", "/memories", body=body).body
    if _is_pending(session, clone):
        return
    clone_id = str(clone.get("id"))
    link: dict[str, Json] = {
        "source_id": clone_id,
        "target_id": source_id,
        "relation": "derived_from",
    }
    node.call("POST", "/links", body=link)
    document: dict[str, Json] = {
        "promoted": True,
        "mode": "vertical",
        "source_id": source_id,
        "clone_id": clone_id,
        "to_namespace": to_namespace,
    }
    emit(session, document, f"promoted: {source_id} to {to_namespace} as {clone_id}")


@verb("forget")
@click.option("--namespace", "-n", help="Everything in this namespace.")
@click.option("--pattern", "-p", help="What holds any of these words.")
@click.option("--tier", "-t", help="Everything of this tier.")
def forget(session: Session, namespace: str | None, pattern: str | None, tier: str | None) -> None:
    """Move every memory that fits all the given options to the archive."""
    check_tier(tier)
    given: dict[str, Json] = {"namespace": namespace, "pattern": pattern, "tier": tier}
    body = {name: value for name, value in given.items() if value is not None}
    if not body:
        raise InvalidInputError("at least one of --namespace, --pattern or --tier is required")
    with connect(session) as node:
        reply = node.call("POST", "/forget", body=body).body
    emit(session, {"deleted": reply.get("deleted")}, f"forgot {reply.get('deleted')} memories")


@verb("link")
@click.argument("source")
@click.argument("target")
@click.option(
    "--relation",
    "-r",
    default="related_to",
    show_default=True,
    help=f"One of {', '.join(RELATIONS)}.",
)
def link(session: Session, source: str, target: str, relation: str) -> None:
    """Say how memory SOURCE relates to memory TARGET."""
    with connect(session) as node:
        body: dict[str, Json] = {
            "source_id": _full_id(node, source),
            "target_id": _full_id(node, target),
            "relation": relation,
        }
        reply = node.call("POST", "/links", body=body).body
    emit(session, reply, f"linked: {body['source_id']} --{relation}-> {body['target_id']}")


def _ask(
    node: Node, method: str, id: str, rest: str = "", body: Mapping[str, Json] | None = None
) -> Mapping[str, Json]:
    try:
        return node.call(method, f"/memories/{segment(id)}{rest}", body=body).body
    except NodeRefusedError as error:
        if error.is_not_found:
            _not_found(id)
        raise


def _full_id(node: Node, id: str) -> str:
    """The whole id that a prefix stands for."""
    if len(id) >= _UUID_CHARACTERS:
        return id
    return str(object_of(_ask(node, "GET", id).get("memory")).get("id", id))


def _is_pending(session: Session, reply: Mapping[str, Json]) -> bool:
    """Whether the action waits for an approval; then that is the answer."""
    if reply.get("status") != "pending":
        return False
    emit(session, reply, f"pending: {reply.get('pending_id')} ({reply.get('reason')})")
    return True


def _not_found(id: str) -> NoReturn:
    raise NotFoundError(f"not found: {id}")

"""`store`: one memory in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click
from typing_extensions import Unpack

from app.cli.connection import connect
from app.cli.namespace_default import default_namespace
from app.cli.output import emit, object_of
from app.cli.session import Session, note
from app.cli.verb import verb
from app.cli.words import check_tier, json_word, split_words
from app.domain.errors import InvalidInputError
from app.domain.memory import MEMORY_KINDS, SCOPES

if TYPE_CHECKING:
    from app.domain.memory import Json


class StoreWords(TypedDict):
    """The verb's options, as given."""

    tier: str
    namespace: str | None
    title: str
    content: str
    tags: str
    priority: int
    confidence: float | None
    source: str
    expires_at: str | None
    ttl_secs: int | None
    scope: str | None
    kind: str
    citations: str | None
    source_uri: str | None
    source_span: str | None
    entity_id: str | None
    sign: bool


@verb("store")
@click.option("--tier", "-t", default="mid", show_default=True, help="short, mid or long.")
@click.option("--namespace", "-n", help="Where; else a setting, the git origin or the folder.")
@click.option("--title", "-T", required=True, help="Unique in the namespace.")
@click.option("--content", "-c", required=True, help="The text; `-` reads standard input.")
@click.option("--tags", default="", help="Separated by commas.")
@click.option("--priority", "-p", default=5, show_default=True, type=int, help="1 to 10.")
@click.option("--confidence", type=float, help="0 to 1; 1 when not given.")
@click.option("--source", "-S", default="cli", show_default=True)
@click.option("--expires-at", help="RFC 3339; wins over --ttl-secs and the tier.")
@click.option("--ttl-secs", type=int, help="Seconds to live.")
@click.option("--scope", type=click.Choice(SCOPES), help="Who may see it; private when not given.")
@click.option("--kind", default="observation", show_default=True, type=click.Choice(MEMORY_KINDS))
@click.option("--citations", help="JSON list of {uri, accessed_at, hash?, span?}.")
@click.option("--source-uri", help="Where it comes from: uri:…, doc:… or file:…")
@click.option("--source-span", help="JSON {start, end}.")
@click.option("--entity-id", help="The entity that it is about.")
@click.option("--sign", is_flag=True, help="Sign with the agent's own key.")
def store(session: Session, /, **words: Unpack[StoreWords]) -> None:
    """Store a memory, or replace the one of the same title and namespace."""
    check_tier(words["tier"])
    body = _body(session, words)
    if words["sign"]:
        from app.cli.signing import sign  # noqa: PLC0415  # cryptography is slow to import

        body.update(sign(session, body))
    with connect(session) as node:
        reply = node.call("POST", "/memories", body=body).body
    if reply.get("status") == "pending":
        emit(session, reply, f"pending: {reply.get('pending_id')} ({reply.get('reason')})")
        return
    memory = dict(object_of(reply.get("memory")))
    similar = reply.get("potential_contradictions")
    if isinstance(similar, list) and similar:
        memory["potential_contradictions"] = similar
        note(f"warning: {len(similar)} similar memories in this namespace; they may contradict it")
    if words["entity_id"] and memory.get("entity_id") != words["entity_id"]:
        note("warning: --entity-id was not kept")
    emit(
        session,
        memory,
        f"stored: {memory.get('id')} [{memory.get('tier')}] (ns={memory.get('namespace')})",
    )


def _body(session: Session, words: StoreWords) -> dict[str, Json]:
    namespace = words["namespace"] or default_namespace(
        session.settings.storage.default_namespace, Path.cwd()
    )
    optional: dict[str, Json] = {
        name: words[name]
        for name in ("confidence", "expires_at", "ttl_secs", "scope", "source_uri", "entity_id")
    }
    optional["citations"] = json_word("--citations", words["citations"])
    optional["source_span"] = json_word("--source-span", words["source_span"])
    return {
        "title": words["title"],
        "content": _content(words["content"]),
        "tier": words["tier"],
        "namespace": namespace,
        "tags": list(split_words(words["tags"])),
        "priority": words["priority"],
        "source": words["source"],
        "kind": words["kind"],
        # The verb replaces what has the name, and stores what it is told to, as v0.7.0's does.
        "on_conflict": "merge",
        "force": True,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _content(word: str) -> str:
    if word != "-":
        return word
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("standard input is not UTF-8") from error

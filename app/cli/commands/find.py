"""`recall`, `search`, `list`: memories out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict, get_args

import click
from typing_extensions import Unpack

from app.cli.connection import connect
from app.cli.output import emit, memory_line, preview, rows_of
from app.cli.session import Session, note
from app.cli.verb import verb
from app.cli.words import check_tier
from app.config.values import Tier as NodeTier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.domain.memory import Json

RECALL_MAX: Final = 50
SEARCH_MAX: Final = 200
RECALL_DEFAULT: Final = 10
NODE_TIERS: Final[tuple[str, ...]] = get_args(NodeTier)


class RecallWords(TypedDict):
    """The options of `recall`."""

    context: str
    namespace: str | None
    limit: int
    tags: str | None
    since: str | None
    until: str | None
    tier: str | None
    as_agent: str | None
    budget_tokens: int | None
    context_tokens: str | None
    session_default: bool
    include_archived: bool
    has_citations: bool
    source_uri_prefix: str | None
    kind: str | None


@verb("recall")
@click.argument("context")
@click.option("--namespace", "-n", help="Only here, and in what lies above it.")
@click.option("--limit", default=RECALL_DEFAULT, show_default=True, type=int, help="At most 50.")
@click.option("--tags", help="Only with these, separated by commas.")
@click.option("--since", help="Only created at or after this time.")
@click.option("--until", help="Only created at or before this time.")
@click.option("--tier", "-T", type=click.Choice(NODE_TIERS), help="What may be used to answer.")
@click.option("--as-agent", help="The namespace to look from.")
@click.option("--budget-tokens", type=click.IntRange(min=0), help="Most tokens of content.")
@click.option("--context-tokens", help="Words of the conversation, separated by commas.")
@click.option("--session-default", is_flag=True, help="Fill in the configured scope.")
@click.option("--include-archived", is_flag=True, help="Also what was split into atoms.")
@click.option("--has-citations", is_flag=True, help="Only what names its sources.")
@click.option("--source-uri-prefix", help="Only from sources that begin so.")
@click.option("--kind", help="Only these kinds, separated by commas; `all` is every kind.")
def recall(session: Session, /, **words: Unpack[RecallWords]) -> None:
    """Recall what is known about CONTEXT, best first. What is returned counts as used."""
    body = _question(words)
    session.resolve({"tier": words["tier"]})
    with connect(session) as node:
        if words["tier"] and node.is_running:
            note("note: --tier has no effect on a running node; its own tier answers")
        reply = node.call("POST", "/recall", body=body).body
    if words["context_tokens"]:
        note("note: --context-tokens has no effect: recall weighs CONTEXT alone")
    names = ("memories", "count", "mode", "tokens_used", "budget_tokens", "meta")
    memories = rows_of(reply.get("memories"))
    if not memories:
        note("no memories found")
    lines = [line for memory in memories for line in (memory_line(memory), preview(memory))]
    if memories:
        lines.append(
            f"{reply.get('count')} memories, mode {reply.get('mode')},"
            f" {reply.get('tokens_used')} tokens"
        )
    emit(session, {name: reply[name] for name in names if name in reply}, "\n".join(lines))


def _question(words: RecallWords) -> dict[str, Json]:
    is_default_limit = words["session_default"] and words["limit"] == RECALL_DEFAULT
    body: dict[str, Json] = {
        name: words[name]
        for name in (
            *("context", "namespace", "tags", "since", "until", "as_agent", "budget_tokens"),
            *("session_default", "include_archived", "has_citations", "source_uri_prefix"),
        )
        if words[name] not in {None, False}
    }
    # The flag's own default counts as not given, so that the configured one can fill it in.
    if not is_default_limit:
        body["limit"] = min(words["limit"], RECALL_MAX)
    if words["kind"]:
        body["kinds"] = words["kind"]
    return body


class FilterWords(TypedDict):
    """The options that `search` and `list` share."""

    namespace: str | None
    tier: str | None
    limit: int
    since: str | None
    until: str | None
    tags: str | None
    agent_id: str | None


def _filters(function: Callable[..., object]) -> Callable[..., object]:
    options = (
        click.option("--namespace", "-n", help="Only here."),
        click.option("--tier", "-t", help="Only short, mid or long."),
        click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0)),
        click.option("--since", help="Only created at or after this time."),
        click.option("--until", help="Only created at or before this time."),
        click.option("--tags", help="Only with these, separated by commas."),
        click.option("--agent-id", help="Only this agent's. (To act for one: before the verb.)"),
    )
    for option in reversed(options):
        function = option(function)
    return function


class SearchWords(FilterWords):
    """The options of `search`."""

    query: str
    as_agent: str | None


@verb("search")
@click.argument("query")
@_filters
@click.option("--as-agent", help="The namespace to look from.")
def search(session: Session, /, **words: Unpack[SearchWords]) -> None:
    """Find memories that hold every word of QUERY. Nothing is counted as used."""
    check_tier(words["tier"])
    asked = {
        **_query(words),
        "q": words["query"],
        "as_agent": words["as_agent"],
        "limit": min(words["limit"], SEARCH_MAX),
    }
    with connect(session) as node:
        reply = node.call("GET", "/search", query=asked).body
    _show(session, {"results": reply.get("results"), "count": reply.get("count")}, "results")


class ListWords(FilterWords):
    """The options of `list`."""

    offset: int


@verb("list")
@_filters
@click.option("--offset", default=0, show_default=True, type=click.IntRange(min=0))
def list_(session: Session, /, **words: Unpack[ListWords]) -> None:
    """List memories, the most important first."""
    check_tier(words["tier"])
    with connect(session) as node:
        reply = node.call(
            "GET", "/memories", query={**_query(words), "offset": words["offset"]}
        ).body
    _show(session, {"memories": reply.get("memories"), "count": reply.get("count")}, "memories")


def _query(words: FilterWords) -> dict[str, str | int | bool | None]:
    return {
        "namespace": words["namespace"],
        "tier": words["tier"],
        "limit": words["limit"],
        "since": words["since"],
        "until": words["until"],
        "tags": words["tags"],
        "agent_id": words["agent_id"],
    }


def _show(session: Session, document: Mapping[str, Json], key: str) -> None:
    memories = rows_of(document[key])
    if not memories:
        note("no memories found")
    emit(session, document, "\n".join(memory_line(memory) for memory in memories))

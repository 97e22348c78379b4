"""What a recall is asked and answers (http-api 3.3)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import msgspec
from litestar.params import FromQuery, QueryParameter

from app.api.schemas.memory import memory_body
from app.domain.errors import InvalidInputError
from app.services.provenance import Provenance
from app.services.recall import Question, Recalled


class RecallBody(msgspec.Struct, frozen=True):
    """A question. `query` and `q` are other names of `context`."""

    context: Annotated[
        str | None,
        msgspec.Meta(
            description="What the answer should be about.", examples=["when do we deploy?"]
        ),
    ] = None
    query: str | None = None
    q: str | None = None
    namespace: Annotated[
        str | None, msgspec.Meta(description="With a `/`, its ancestors count as well.")
    ] = None
    limit: Annotated[int | None, msgspec.Meta(description="Default 10, at most 50.")] = None
    tags: str | None = None
    since: str | None = None
    until: str | None = None
    as_agent: Annotated[
        str | None, msgspec.Meta(description="The namespace to look from; must be the caller's.")
    ] = None
    budget_tokens: Annotated[
        int | None, msgspec.Meta(description="Most tokens of content; 0 answers nothing.")
    ] = None
    session_default: bool | None = None
    session_id: str | None = None
    has_citations: bool | None = None
    source_uri_prefix: str | None = None
    kinds: Annotated[
        str | list[str] | None, msgspec.Meta(description="Any of these; commas or a list.")
    ] = None
    include_archived: Annotated[
        bool | None, msgspec.Meta(description="Also memories that were split into atoms.")
    ] = None
    confidence_tier: Annotated[
        str | None, msgspec.Meta(description="confirmed, likely or ambiguous.")
    ] = None
    verbose_provenance: bool | None = None
    format: Annotated[str | None, msgspec.Meta(description="json, toon or toon_compact.")] = None

    def question(self) -> Question:
        context = next((one for one in (self.context, self.query, self.q) if one is not None), None)
        if context is None:
            raise InvalidInputError("missing required field: context", fields=["context"])
        return Question(
            context=context,
            namespace=self.namespace,
            limit=self.limit,
            tags=self.tags,
            since=self.since,
            until=self.until,
            as_agent=self.as_agent or None,
            budget_tokens=self.budget_tokens,
            session_default=self.session_default is True,
            session_id=self.session_id,
            has_citations=self.has_citations is True,
            source_uri_prefix=self.source_uri_prefix,
            kinds=_words(self.kinds),
            include_archived=self.include_archived is True,
            confidence_tier=self.confidence_tier,
        )


def recall_query(  # noqa: PLR0913, PLR0917 - the wire's parameters
    context: Annotated[str | None, QueryParameter(description="What to answer.")] = None,
    query_alias: Annotated[str | None, QueryParameter(name="query")] = None,
    q: FromQuery[str | None] = None,
    namespace: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    tags: FromQuery[str | None] = None,
    since: FromQuery[str | None] = None,
    until: FromQuery[str | None] = None,
    as_agent: FromQuery[str | None] = None,
    budget_tokens: FromQuery[int | None] = None,
    session_default: FromQuery[bool | None] = None,
    session_id: FromQuery[str | None] = None,
    has_citations: FromQuery[bool | None] = None,
    source_uri_prefix: FromQuery[str | None] = None,
    kinds: FromQuery[str | None] = None,
    include_archived: FromQuery[bool | None] = None,
    confidence_tier: FromQuery[str | None] = None,
    verbose_provenance: FromQuery[bool | None] = None,
    format: FromQuery[str | None] = None,
) -> RecallBody:
    """The same question, as a query string."""
    return RecallBody(
        context=context,
        query=query_alias,
        q=q,
        namespace=namespace,
        limit=limit,
        tags=tags,
        since=since,
        until=until,
        as_agent=as_agent,
        budget_tokens=budget_tokens,
        session_default=session_default,
        session_id=session_id,
        has_citations=has_citations,
        source_uri_prefix=source_uri_prefix,
        kinds=kinds,
        include_archived=include_archived,
        confidence_tier=confidence_tier,
        verbose_provenance=verbose_provenance,
        format=format,
    )


def recalled_body(
    recalled: Recalled,
    budget_tokens: int | None,
    provenance: Mapping[str, Provenance] | None = None,
) -> dict[str, object]:
    """Scored memories, what they cost, and how they were found."""
    rows = []
    for row in recalled.rows:
        body: dict[str, object] = {**memory_body(row.memory), "score": row.score}
        if provenance is not None:
            body.update(asdict(provenance[row.memory.id]))
        rows.append(body)
    answer: dict[str, object] = {
        "memories": rows,
        "count": len(rows),
        "total": recalled.answer.trace.fused,
        "next_cursor": None,
        "tokens_used": recalled.answer.tokens_used,
        "mode": recalled.answer.mode.value,
    }
    budget = recalled.answer.budget
    if budget is not None:
        answer["budget_tokens"] = budget_tokens
        answer["meta"] = {
            "budget_tokens_used": budget.tokens_used,
            "budget_tokens_remaining": budget.tokens_remaining,
            "memories_dropped": budget.dropped,
            "budget_overflow": budget.overflow,
        }
    return answer


def _words(kinds: str | list[str] | None) -> list[str] | None:
    if not kinds:
        return None
    words = kinds.split(",") if isinstance(kinds, str) else kinds
    return [stripped for word in words if (stripped := word.strip())]

"""What a search is asked and answers (http-api 3.3)."""

from dataclasses import dataclass
from typing import Annotated

from litestar.params import QueryParameter

from app.api.schemas.filters import FORMAT_HELP
from app.api.schemas.memory import memory_body
from app.services.recall import Found, Searched

SEARCH_LIMIT = 20


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """The parameters that only a search has."""

    q: str | None
    source_uri: str | None
    as_agent: str | None
    include_archived: bool
    limit: int
    cursor: str | None
    format: str | None

    def searched(self) -> Searched:
        return Searched(self.q, self.source_uri, self.as_agent or None, self.include_archived)


def search_query(
    q: Annotated[
        str | None, QueryParameter(description="Words, all of which must be there.")
    ] = None,
    source_uri: Annotated[str | None, QueryParameter(description="Exactly this source.")] = None,
    as_agent: Annotated[
        str | None, QueryParameter(description="The namespace to look from.")
    ] = None,
    include_archived: Annotated[
        bool, QueryParameter(description="Also memories that were split into atoms.")
    ] = False,
    limit: Annotated[int, QueryParameter(description="Rows of a page.")] = SEARCH_LIMIT,
    cursor: Annotated[
        str | None, QueryParameter(description="`next_cursor` of the page before.")
    ] = None,
    format: Annotated[str | None, QueryParameter(description=FORMAT_HELP)] = None,
) -> SearchQuery:
    """A dependency, so that the parameters are documented."""
    return SearchQuery(
        q=q,
        source_uri=source_uri,
        as_agent=as_agent,
        include_archived=include_archived,
        limit=limit,
        cursor=cursor,
        format=format,
    )


def found_body(found: Found, asked: SearchQuery, following: str | None) -> dict[str, object]:
    """Under v0.7.0's key and under the one that clients read (http-api row 16)."""
    rows: list[dict[str, object]] = [dict(memory_body(memory)) for memory in found.rows]
    for row, score in zip(rows, found.scores, strict=False):
        row["score"] = score
    body: dict[str, object] = {
        "results": rows,
        "memories": rows,
        "count": len(rows),
        "total": found.total,
        "next_cursor": following,
    }
    if asked.q:
        body["query"] = asked.q
    if asked.source_uri:
        body["source_uri"] = asked.source_uri
    return body

"""`/kg`: walks, timelines, paths and ends of validity; and the duplicate probe."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from app.api.schemas.kg import (
    DuplicateBody,
    FoundPathsBody,
    InvalidateBody,
    InvalidatedBody,
    PathsBody,
    ProbeBody,
    TimelineBody,
    WalkBody,
    WalkedBody,
    duplicate_body,
    event_row,
    found_paths_body,
    invalidated_body,
    walked_body,
)
from app.services.bundle import Services
from app.services.caller import Caller
from app.store.sql.links import LinkFilter

_TIMELINE_ROWS = 200


class GraphController(Controller):
    """Only memories that the caller sees are ever on a way."""

    path = "/api/v1"
    tags = ("Knowledge graph",)

    @post("/kg/query", status_code=200, summary="Walk along outbound links")
    async def walk(
        self,
        data: JSONBody[WalkBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> WalkedBody:
        """Nearest first. A depth outside 1 to 5 is a 422."""
        walk = data.walk()
        return walked_body(walk, await services.graph.walk(walk, caller))

    @get("/kg/timeline", summary="Dated facts of a memory")
    async def timeline(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        source_id: Annotated[str, QueryParameter(description="The caller's own memory.")],
        since: Annotated[str | None, QueryParameter(description="Valid from then on.")] = None,
        until: Annotated[
            str | None, QueryParameter(description="Valid from then or before.")
        ] = None,
        limit: Annotated[int, QueryParameter(description="Rows, 1 to 1000.")] = _TIMELINE_ROWS,
    ) -> TimelineBody:
        """Its outbound links by the beginning of their validity."""
        span = LinkFilter(since=since or None, until=until or None)
        facts = await services.graph.timeline(source_id, span, limit, caller)
        events = [event_row(one) for one in facts]
        return TimelineBody(source_id, events, len(events))

    @post("/kg/invalidate", status_code=200, summary="End a link's validity")
    async def invalidate(
        self,
        data: JSONBody[InvalidateBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> InvalidatedBody:
        """A signature on the link ends with it. 404 with `found` false for an unknown link."""
        done = await services.graph.invalidate(data.ends(), data.relation, data.valid_until, caller)
        return invalidated_body(data, done)

    @post(["/kg/find_paths", "/find_paths"], status_code=200, summary="Paths between two memories")
    async def find_paths(
        self,
        data: JSONBody[PathsBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> FoundPathsBody:
        """Shortest first, along links in either direction that have not ended."""
        found = await services.graph.find_paths(
            data.ends(), data.length_max, data.paths_max, caller
        )
        return found_paths_body(data, found)

    @post("/check_duplicate", status_code=200, summary="Is this memory there already?")
    async def check_duplicate(
        self,
        data: JSONBody[ProbeBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> DuplicateBody:
        """Equal texts first, then near ones; 503 when only an embedder could tell."""
        return duplicate_body(await services.duplicates.check(data.probe(), caller))

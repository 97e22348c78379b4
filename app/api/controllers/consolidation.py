"""`/consolidate` and `/contradictions`: many memories about one thing."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from app.api.dependencies import resolve_caller
from app.api.request import ApiRequest
from app.api.schemas.consolidation import (
    ConsolidateBody,
    ConsolidatedBody,
    ContradictionsBody,
    consolidated_body,
    contradictions_body,
)
from app.api.schemas.filters import plain
from app.services.bundle import Services
from app.services.caller import Caller

_ROWS = 50


class ConsolidationController(Controller):
    """Puts one memory in the place of several, and shows where several disagree."""

    path = "/api/v1"
    tags = ("Curation",)

    @post("/consolidate", summary="Make one memory of several")
    async def consolidate(
        self,
        data: JSONBody[ConsolidateBody],
        services: NamedDependency[Services],
        request: ApiRequest,
    ) -> ConsolidatedBody:
        """The sources go to the archive in the same write; each must be the caller's."""
        caller = resolve_caller(request, claimed=data.agent_id)
        memory = await services.consolidation.consolidate(data.asked(), caller)
        return consolidated_body(memory, len(data.ids), data.warnings)

    @get("/contradictions", summary="Where memories on a topic disagree")
    async def contradictions(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        topic: Annotated[
            str | None, QueryParameter(description="`metadata.topic` or the title.")
        ] = None,
        namespace: Annotated[str | None, QueryParameter(description="This one only.")] = None,
        limit: Annotated[int, QueryParameter(description="Memories, at most 1000.")] = _ROWS,
    ) -> ContradictionsBody:
        """Stored `contradicts` links first, then pairs on the same topic with different texts."""
        about = plain(topic, "topic") if topic else None
        found = await services.disagreements.find(about, namespace, limit, caller)
        return contradictions_body(found)

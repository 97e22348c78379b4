"""`/entities`: register things, find them by any of their names."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from app.api.dependencies import resolve_caller
from app.api.request import ApiRequest
from app.api.schemas.answers import answer
from app.api.schemas.entities import (
    FoundEntityBody,
    RegisteredEntityBody,
    RegisterEntityBody,
    found_entity_body,
    registered_entity_body,
)
from app.api.schemas.filters import plain
from app.services.bundle import Services
from app.services.caller import Caller


class EntitiesController(Controller):
    """Things with one canonical name and any number of others."""

    path = "/api/v1/entities"
    tags = ("Knowledge graph",)

    @post("/", summary="Register an entity", responses=answer(200, RegisteredEntityBody))
    async def register(
        self,
        data: JSONBody[RegisterEntityBody],
        services: NamedDependency[Services],
        request: ApiRequest,
    ) -> Response[RegisteredEntityBody]:
        """201 when it is new, 200 when it was known; 409 when another memory has the name."""
        caller = resolve_caller(request, claimed=data.agent_id)
        done = await services.entities.register(data.new_entity(), caller)
        return Response(registered_entity_body(done), status_code=201 if done.is_new else 200)

    @get("/by_alias", summary="Find an entity by one of its names")
    async def by_alias(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        alias: Annotated[str, QueryParameter(description="The exact name.")],
        namespace: Annotated[
            str | None, QueryParameter(description="Look here only; else the newest wins.")
        ] = None,
    ) -> FoundEntityBody:
        """200 with `found` false when there is none that the caller sees."""
        name = plain(alias, "alias")
        return found_entity_body(await services.entities.by_alias(name, namespace or None, caller))

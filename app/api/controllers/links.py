"""`/links`: create, remove, read and verify."""

from __future__ import annotations

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.api.schemas.links import (
    LinkBody,
    LinkedBody,
    LinksBody,
    UnlinkedBody,
    VerifiedBody,
    VerifyBody,
    verified_body,
)
from app.api.schemas.memories import link_body
from app.services.bundle import Services
from app.services.caller import Caller
from app.services.links import DEFAULT_RELATION


class LinksController(Controller):
    """Typed, directed, dated links between memories."""

    path = "/api/v1/links"
    tags = ("Links",)

    @post("/", summary="Link two memories")
    async def create(
        self,
        data: JSONBody[LinkBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> LinkedBody:
        """From a memory of the caller's to one that it sees; a link that exists stays."""
        relation = DEFAULT_RELATION if data.relation is None else data.relation
        link = await services.links.create(data.ends(), relation, caller)
        level = link.attest_level or "unsigned"
        return LinkedBody(True, level, link.source_id, link.target_id, link.relation)

    @delete("/", status_code=200, summary="Remove a link")
    async def remove(
        self,
        data: JSONBody[LinkBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> UnlinkedBody:
        """One relation, or all from the source to the target; an owner of either end may."""
        return UnlinkedBody(await services.links.remove(data.ends(), data.relation, caller))

    @get("/{memory_id:str}", summary="Links of a memory")
    async def of(
        self,
        memory_id: FromPath[str],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> LinksBody:
        """Those whose both ends the caller sees; none for an unknown id."""
        links = [link_body(one) for one in await services.links.of(memory_id, caller)]
        return LinksBody(links, len(links))

    @post("/verify", status_code=200, summary="Check a link's signature")
    async def verify(
        self,
        data: JSONBody[VerifyBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> VerifiedBody:
        """Against the enrolled key of who observed it."""
        return verified_body(await services.links.verify(data.choice(), caller))

"""What the node can do, for clients and agents."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter

from app.api.dependencies import api_options
from app.api.request import ApiRequest
from app.services.bundle import Services


class CapabilitiesController(Controller):
    """Open to every caller that may enter."""

    path = "/api/v1"
    tags = ("Operation",)

    @get("/capabilities", summary="What this node can do")
    async def capabilities(
        self,
        services: NamedDependency[Services],
        accept_capabilities: Annotated[
            str | None,
            HeaderParameter(
                name="Accept-Capabilities",
                description="Version of the document: `v1`, `v2`, or anything else for `v3`.",
            ),
        ] = None,
    ) -> dict[str, Any]:  # the document differs by version; its service knows its keys
        """Tier, models, features, permissions, tools and families, as they are right now."""
        return await services.capabilities.document(accept_capabilities)

    @get("/tools/list", summary="The tools of this node's profile")
    async def tools(
        self,
        services: NamedDependency[Services],
        request: ApiRequest,
        verbose: Annotated[
            str | None,
            QueryParameter(
                description="`1` or `true` for whole descriptions and those of parameters."
            ),
        ] = None,
    ) -> dict[str, Any]:  # JSON schemas
        """Names, descriptions and parameter schemas, trimmed to save an agent's context."""
        whole = api_options(request).tools_verbose or verbose in {"1", "true"}
        return services.capabilities.tools(verbose=whole)

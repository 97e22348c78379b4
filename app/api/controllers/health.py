"""Is the node well?"""

from __future__ import annotations

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec

from app.api.dependencies import api_options
from app.api.request import ApiRequest
from app.services.bundle import Services


class HealthBody(msgspec.Struct, omit_defaults=True):
    """`status` is `ok` or `error`; with `error` the reply is a 503 and `error` says why."""

    status: str
    service: str
    version: str
    embedder_ready: bool
    federation_enabled: bool
    error: str | None = None


class HealthController(Controller):
    """Needs no key, so that load balancers may ask."""

    path = "/api/v1"
    tags = ("Operation",)

    @get(
        "/health",
        summary="Is the node well?",
        responses={503: ResponseSpec(HealthBody, description="It is not; `error` says why.")},
    )
    async def health(
        self, services: NamedDependency[Services], request: ApiRequest
    ) -> Response[HealthBody]:
        """200 when the store answers and its text index is sound, else 503."""
        health = await services.health.look()
        body = HealthBody(
            status="ok" if health.is_ok else "error",
            service="ai-memory",
            version=api_options(request).version,
            embedder_ready=health.embedder_ready,
            federation_enabled=health.federation_enabled,
            error=health.problem,
        )
        return Response(body, status_code=200 if health.is_ok else 503)

"""Statistics and garbage collection, for admins."""

from __future__ import annotations

from litestar import Controller, get, post
from litestar.di import NamedDependency

from app.api.schemas.maintenance import GcBody, StatsBody, gc_body, stats_body
from app.services.bundle import Services
from app.services.caller import Caller


class MaintenanceController(Controller):
    """Admins only."""

    path = "/api/v1"
    tags = ("Administration",)

    @get("/stats", summary="Statistics of the store")
    async def stats(
        self, services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> StatsBody:
        """Rows by tier and namespace, links, size, vectors and what waits for collection."""
        return stats_body(await services.maintenance.stats(caller))

    @post("/gc", status_code=200, summary="Collect expired memories now")
    async def gc(
        self, services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> GcBody:
        """Expired rows go to the archive, old archive rows for good. Takes no body."""
        return gc_body(await services.maintenance.gc(caller))

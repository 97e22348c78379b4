"""`/quota/status`: what was used of what is allowed."""

from __future__ import annotations

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.api.dependencies import resolve_caller
from app.api.request import ApiRequest
from app.api.schemas.quotas import QuotasBody, QuotaStatusBody
from app.services.bundle import Services
from app.store.sql.records import QuotaCounters


class QuotasController(Controller):
    """Counters start again at midnight UTC; stored bytes never do."""

    path = "/api/v1/quota"
    tags = ("Quotas",)

    @post("/status", status_code=200, summary="Look at quotas")
    async def status(
        self,
        data: JSONBody[QuotaStatusBody],
        services: NamedDependency[Services],
        request: ApiRequest,
    ) -> QuotaCounters | QuotasBody:
        """With `agent_id` the caller's own counters, else everybody's (admins only)."""
        caller = resolve_caller(request, data.agent_id)
        if data.agent_id is not None:
            return await services.quotas.own(caller, data.namespace)
        quotas = list(await services.quotas.all(caller, data.namespace))
        return QuotasBody(quotas, len(quotas))

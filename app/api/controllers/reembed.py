"""`/reembed`: every vector anew, step by step. Admins only; ours, for the command line."""

from __future__ import annotations

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.api.schemas.reembed import (
    ReembedBody,
    ReembeddedBody,
    ReembedPlanBody,
    plan_body,
    position_of,
    step_body,
)
from app.domain.errors import FeatureMissingError
from app.services.bundle import Services
from app.services.caller import Caller


class ReembedController(Controller):
    """After a change of model, or of a backend that answered nonsense for a while."""

    path = "/api/v1"
    tags = ("Administration",)

    @post("/reembed", status_code=200, summary="Make vectors anew")
    async def reembed(
        self,
        data: JSONBody[ReembedBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> ReembedPlanBody | ReembeddedBody:
        """One step; repeat with `next_cursor` until there is none. 503 without an embedder."""
        caller.require_admin()
        reembed = services.reembed
        if reembed is None:
            raise FeatureMissingError("embedder not configured")
        if data.dry_run:
            return plan_body(await reembed.plan(caller, data.namespace))
        after = position_of(data.cursor)
        return step_body(await reembed.step(caller, data.namespace, after, data.limit))

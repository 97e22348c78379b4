"""`/subscriptions`: webhooks of the caller's."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from app.api.dependencies import resolve_caller
from app.api.identity import Claim
from app.api.request import ApiRequest
from app.api.schemas.subscriptions import (
    SubscribeBody,
    SubscribedBody,
    SubscriptionsBody,
    UnsubscribedBody,
    subscribed_body,
    subscription_row,
    unsubscribed_body,
)
from app.domain.errors import InvalidInputError
from app.services.bundle import Services
from app.services.caller import Caller

AgentClaim = Annotated[str | None, QueryParameter(description="Must agree with `X-Agent-Id`.")]


class SubscriptionsController(Controller):
    """Everybody sees and removes their own only."""

    path = "/api/v1/subscriptions"
    tags = ("Subscriptions",)

    @post("/", summary="Register a webhook")
    async def subscribe(
        self,
        data: JSONBody[SubscribeBody],
        services: NamedDependency[Services],
        request: ApiRequest,
    ) -> SubscribedBody:
        """Refused when the url leads to a private address, by name or by number."""
        caller = resolve_caller(request, data.agent_id)
        made = await services.subscriptions.subscribe(caller, data.new_subscription())
        return subscribed_body(made, data.namespace)

    @get("/", summary="List the caller's webhooks")
    async def list_own(
        self,
        services: NamedDependency[Services],
        request: ApiRequest,
        agent_id: AgentClaim = None,
    ) -> SubscriptionsBody:
        """Oldest first."""
        caller = resolve_caller(request, agent_id or None, Claim.QUERY)
        rows = [subscription_row(row) for row in await services.subscriptions.own(caller)]
        return SubscriptionsBody(len(rows), rows)

    @delete("/", status_code=200, summary="Remove a webhook by id or namespace")
    async def unsubscribe(
        self,
        services: NamedDependency[Services],
        request: ApiRequest,
        id: Annotated[str | None, QueryParameter(description="The subscription.")] = None,
        namespace: Annotated[
            str | None, QueryParameter(description="The first one with this filter.")
        ] = None,
        agent_id: AgentClaim = None,
    ) -> UnsubscribedBody:
        """An id that is unknown or somebody else's removes nothing and is no error."""
        caller = resolve_caller(request, agent_id or None, Claim.QUERY)
        if id:
            return unsubscribed_body(await services.subscriptions.unsubscribe(caller, id))
        if not namespace:
            raise InvalidInputError("id or namespace is required", fields=["id", "namespace"])
        removed = await services.subscriptions.unsubscribe_namespace(caller, namespace)
        return unsubscribed_body(removed)

    @delete("/{subscription_id:str}", status_code=200, summary="Remove a webhook")
    async def unsubscribe_by_path(
        self,
        subscription_id: FromPath[str],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> UnsubscribedBody:
        """As the SDKs ask for it."""
        return unsubscribed_body(await services.subscriptions.unsubscribe(caller, subscription_id))

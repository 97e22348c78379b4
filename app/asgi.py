"""The HTTP application. Importing this does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Litestar

from app.api.dependencies import dependencies, make_state
from app.api.durable import Durable
from app.api.errors import exception_handlers
from app.api.federation import FederationRoutes
from app.api.gate import Gate
from app.api.hot_store import STORE_PATH, HotStore
from app.api.identity import Identities
from app.api.openapi import openapi_config
from app.api.request import ApiRequest
from app.api.routes import ROUTES
from app.api.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.types import ASGIApp, ControllerRouterHandler

    from app.api.federation import Door
    from app.api.options import ApiOptions
    from app.domain.sources import IdSource
    from app.services.bundle import Services


def create_app(
    services: Services,
    options: ApiOptions,
    ids: IdSource,
    routes: Sequence[ControllerRouterHandler] = ROUTES,
    federation: Door | None = None,
) -> Litestar:
    """The application over given services; with `federation` it answers peers, too."""
    app = routed(options.version, routes)
    furnish(app, app.asgi_handler, services, options, ids, federation)
    return app


def routed(version: str, routes: Sequence[ControllerRouterHandler] = ROUTES) -> Litestar:
    """An application with routes, that has nothing to answer from yet."""
    return Litestar(
        route_handlers=routes,
        dependencies=dependencies(),
        exception_handlers=exception_handlers(),
        request_class=ApiRequest,
        request_max_body_size=None,  # the gate counts
        openapi_config=openapi_config(version),
        logging_config=None,  # the framework's own would set the root logger to INFO
        debug=False,
    )


def furnish(
    app: Litestar,
    router: ASGIApp,
    services: Services,
    options: ApiOptions,
    ids: IdSource,
    federation: Door | None = None,
) -> None:
    """Let an application answer for these services, and no longer for others.

    `router` is its handler as the framework made it. Making the routes takes longer than all else.
    """
    app.state = make_state(Identities(options, ids), services)
    handler = router
    if any(route.path == STORE_PATH for route in app.routes):
        handler = HotStore(handler, app)
        handler = Durable(handler, services.federation, services.idempotency)
        handler = Seen(handler, services.federation)
    if federation is not None:
        handler = FederationRoutes(handler, federation)
    app.asgi_handler = Gate(handler, options, ids.uuid4()[:8])

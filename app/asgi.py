"""The HTTP application. Importing this does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Litestar

from app.api.controllers.memories import MemoriesController
from app.api.dependencies import dependencies, make_state
from app.api.durable import Durable
from app.api.errors import exception_handlers
from app.api.federation import FederationRoutes
from app.api.gate import Gate
from app.api.hot_store import HotStore
from app.api.identity import Identities
from app.api.openapi import openapi_config
from app.api.request import ApiRequest
from app.api.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from litestar.types import ControllerRouterHandler

    from app.api.federation import Door
    from app.api.options import ApiOptions
    from app.domain.sources import IdSource
    from app.services.bundle import Services


def create_app(
    services: Services,
    options: ApiOptions,
    ids: IdSource,
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    routes: Sequence[ControllerRouterHandler] = ROUTES,
    federation: Door | None = None,
) -> Litestar:
    """The application over given services; with `federation` it answers peers, too.

    `lifespan` are context managers that the server enters before the first request and leaves,
    in reverse, after the last.
    """
    app = Litestar(
        route_handlers=routes,
        dependencies=dependencies(),
        exception_handlers=exception_handlers(),
        request_class=ApiRequest,
        request_max_body_size=None,  # the gate counts
        state=make_state(Identities(options, ids), services),
        lifespan=list(lifespan),
        openapi_config=openapi_config(options.version),
        logging_config=None,  # the framework's own would set the root logger to INFO
        debug=False,
    )
    handler = app.asgi_handler
    if MemoriesController in routes:
        handler = HotStore(handler, app)
        handler = Durable(handler, services.federation, services.idempotency)
    if federation is not None:
        handler = FederationRoutes(handler, federation)
    app.asgi_handler = Gate(handler, options, ids.uuid4()[:8])
    return app

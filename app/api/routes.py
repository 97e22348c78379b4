"""The route map: one line a controller."""

from typing import Final

from litestar.types import ControllerRouterHandler

from app.api.controllers.health import HealthController

ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (HealthController,)

"""The route map: one line a controller."""

from typing import Final

from litestar.types import ControllerRouterHandler

from app.api.controllers.capabilities import CapabilitiesController
from app.api.controllers.health import HealthController
from app.api.controllers.maintenance import MaintenanceController
from app.api.controllers.metrics import metrics

ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    HealthController,
    metrics,
    CapabilitiesController,
    MaintenanceController,
)

"""All use cases in one value, for the surfaces."""
# ruff: noqa: TC001  # the framework reads these annotations at run time

from __future__ import annotations

from dataclasses import dataclass

from app.observability.metrics import Metrics
from app.services.capabilities import CapabilityService
from app.services.health import HealthService
from app.services.maintenance import MaintenanceService


@dataclass(frozen=True, slots=True)
class Services:
    """One field a service. The composition root fills them."""

    health: HealthService
    metrics: Metrics
    capabilities: CapabilityService
    maintenance: MaintenanceService

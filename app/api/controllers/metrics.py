"""What Prometheus scrapes."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency

from app.observability.metrics import CONTENT_TYPE
from app.services.bundle import Services


@get(
    ["/metrics", "/api/v1/metrics"],
    tags=["Operation"],
    summary="Metrics for Prometheus",
    media_type="text/plain",
)
async def metrics(services: NamedDependency[Services]) -> Response[bytes]:
    """Text exposition format 0.0.4; gauges are measured at the time of the request."""
    await services.maintenance.refresh_gauges()
    await services.federation.refresh_gauges()
    return Response(services.metrics.render(), media_type=CONTENT_TYPE)

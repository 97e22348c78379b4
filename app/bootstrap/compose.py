"""Every service, built by hand from its ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.api.options import API_VERSION
from app.observability.metrics import Metrics
from app.services.bundle import Services
from app.services.capabilities import CapabilityFacts, CapabilityService
from app.services.health import HealthService
from app.services.maintenance import MaintenanceService

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.bootstrap.embedding import QueryThreads
    from app.config.resolve import Resolution
    from app.domain.sources import Clock, IdSource
    from app.services.embedding_state import EmbeddingState
    from app.store.protocol import Store


def compose(
    resolution: Resolution,
    store: Store,
    clock: Clock,
    ids: IdSource,
    queries: QueryThreads | None,
    embedding: Callable[[], EmbeddingState],
) -> Services:
    """The services of one node."""
    settings = resolution.settings
    metrics = Metrics()
    facts = CapabilityFacts(
        version=API_VERSION,
        tier=settings.tier,
        permissions_mode=settings.permissions.mode,
        profile=settings.mcp.profile,
        kg_backend="cte",
    )
    return Services(
        health=HealthService(store, embedding, federation_enabled=False),
        metrics=metrics,
        capabilities=CapabilityService(store, metrics, embedding, facts),
        maintenance=MaintenanceService(
            store,
            clock,
            metrics,
            embedding,
            archive_on_gc=settings.storage.archive_on_gc,
            archive_max_days=settings.storage.archive_max_days,
        ),
    )

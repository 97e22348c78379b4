"""The route map: one line a controller."""

from typing import Final

from litestar.types import ControllerRouterHandler

from app.api.controllers.agents import AgentsController
from app.api.controllers.archive import ArchiveController, ForgetController
from app.api.controllers.capabilities import CapabilitiesController
from app.api.controllers.consolidation import ConsolidationController
from app.api.controllers.entities import EntitiesController
from app.api.controllers.federation import FederationController
from app.api.controllers.health import HealthController
from app.api.controllers.kg import GraphController
from app.api.controllers.links import LinksController
from app.api.controllers.llm import ModelController
from app.api.controllers.maintenance import MaintenanceController
from app.api.controllers.memories import MemoriesController
from app.api.controllers.messages import MessagesController
from app.api.controllers.metrics import metrics
from app.api.controllers.namespaces import (
    NamespacesController,
    NestedStandardsController,
    TaxonomyController,
)
from app.api.controllers.portability import PortabilityController
from app.api.controllers.quotas import QuotasController
from app.api.controllers.recall import RecallController
from app.api.controllers.reembed import ReembedController
from app.api.controllers.search import SearchController
from app.api.controllers.subscriptions import SubscriptionsController
from app.api.controllers.sync import SyncController
from app.api.controllers.sync_local import LocalSyncController

ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    HealthController,
    metrics,
    CapabilitiesController,
    MaintenanceController,
    MemoriesController,
    SearchController,
    RecallController,
    ForgetController,
    ArchiveController,
    LinksController,
    GraphController,
    EntitiesController,
    NamespacesController,
    NestedStandardsController,
    TaxonomyController,
    ConsolidationController,
    AgentsController,
    MessagesController,
    SubscriptionsController,
    PortabilityController,
    QuotasController,
    ModelController,
    ReembedController,
    SyncController,
    LocalSyncController,
    FederationController,
)

"""All use cases in one value, for the surfaces."""
# ruff: noqa: TC001  # the framework reads these annotations at run time

from __future__ import annotations

from dataclasses import dataclass

from app.observability.metrics import Metrics
from app.services.agents import AgentService
from app.services.archive import ArchiveService
from app.services.capabilities import CapabilityService
from app.services.consolidation import ConsolidationService
from app.services.disagreements import DisagreementService
from app.services.duplicates import DuplicateService
from app.services.entities import EntityService
from app.services.federation import FederationService
from app.services.graph import GraphService
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.links import LinkService
from app.services.loading import LoadingService
from app.services.maintenance import MaintenanceService
from app.services.memories import MemoryService
from app.services.messages import MessageService
from app.services.namespaces import NamespaceService
from app.services.portability import PortabilityService
from app.services.quotas import QuotaService
from app.services.recall import RecallService
from app.services.reembed import ReembedService
from app.services.subscriptions import SubscriptionService
from app.services.sync import SyncService


@dataclass(frozen=True, slots=True)
class Services:
    """One field a service. The composition root fills them."""

    health: HealthService
    metrics: Metrics
    capabilities: CapabilityService
    maintenance: MaintenanceService
    memories: MemoryService
    recall: RecallService
    archive: ArchiveService
    agents: AgentService
    messages: MessageService
    subscriptions: SubscriptionService
    portability: PortabilityService
    quotas: QuotaService
    loading: LoadingService
    links: LinkService
    graph: GraphService
    duplicates: DuplicateService
    entities: EntityService
    namespaces: NamespaceService
    consolidation: ConsolidationService
    disagreements: DisagreementService
    sync: SyncService
    federation: FederationService
    idempotency: IdempotencyService
    reembed: ReembedService | None = None
    """None on a node without an embedder."""

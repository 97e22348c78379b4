"""Every service, built by hand from its ports."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from app.bootstrap.sources import SystemRandomness
from app.domain.ranking import HalfLives, Scoring, Weights
from app.domain.version import WIRE_VERSION
from app.observability.metrics import Metrics
from app.recall.pipeline import RecallPipeline
from app.recall.sessions import SessionRings
from app.recall.tokens import open_token_counter
from app.services.agents import AgentService
from app.services.archive import ArchiveService
from app.services.attestation import Attestation
from app.services.bundle import Services
from app.services.capabilities import CapabilityFacts, CapabilityService
from app.services.consolidation import ConsolidationService
from app.services.contradictions import ContradictionFinder
from app.services.disagreements import DisagreementService
from app.services.duplicates import DuplicateService
from app.services.entities import EntityService
from app.services.graph import GraphService
from app.services.health import HealthService
from app.services.keys import KeyDirectory
from app.services.link_signing import KeyLinkSigner, LinkVerifier, NoLinkSigner
from app.services.links import LinkRules, LinkService
from app.services.loading import LoadingService
from app.services.maintenance import MaintenanceService
from app.services.memories import MemoryRules, MemoryService
from app.services.messages import MessageService
from app.services.namespaces import NamespaceService
from app.services.new_memory import TierLives
from app.services.portability import PortabilityService
from app.services.quotas import QuotaService
from app.services.recall import RecallService, ScopeDefaults
from app.services.retrieval import StoreLegs
from app.services.subscriptions import SubscriptionRules, SubscriptionService
from app.services.touches import Extensions, Touches
from app.store.protocol import QuotaLimits, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.bootstrap.embedding import QueryThreads
    from app.config.resolve import Resolution
    from app.config.settings import Settings
    from app.domain.sources import Clock, IdSource
    from app.services.embedding_state import EmbeddingState
    from app.store.sql.filters import MemoryFilter


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What services need beside the store: time, ids, and the embedder if there is one."""

    clock: Clock
    ids: IdSource
    queries: QueryThreads | None
    embedding: Callable[[], EmbeddingState]


@dataclass(frozen=True, slots=True)
class Composed:
    """The services, and what the node runs in the background for them."""

    services: Services
    touches: Touches


def compose(resolution: Resolution, store: Store, around: Surroundings) -> Composed:
    """The services of one node."""
    settings = resolution.settings
    clock, ids = around.clock, around.ids
    metrics = Metrics()
    lives = TierLives(
        settings.ttl.short_ttl_secs, settings.ttl.mid_ttl_secs, settings.ttl.long_ttl_secs
    )
    limits = QuotaLimits(
        settings.limits.max_memories_per_day,
        settings.limits.max_storage_bytes,
        settings.limits.max_links_per_day,
    )
    archives = settings.storage.archive_on_gc
    touches = Touches(
        store, clock, Extensions(settings.ttl.short_extend_secs, settings.ttl.mid_extend_secs)
    )
    facts = CapabilityFacts(
        version=WIRE_VERSION,
        tier=settings.tier,
        permissions_mode=settings.permissions.mode,
        profile=settings.mcp.profile,
        kg_backend="cte",
    )
    services = Services(
        health=HealthService(store, around.embedding, federation_enabled=False),
        metrics=metrics,
        capabilities=CapabilityService(store, metrics, around.embedding, facts),
        maintenance=MaintenanceService(
            store,
            clock,
            metrics,
            around.embedding,
            archive_on_gc=archives,
            archive_max_days=settings.storage.archive_max_days,
        ),
        memories=MemoryService(
            store,
            clock,
            ids,
            MemoryRules(lives, limits, settings.storage.near_duplicate != "off", archives),
            Attestation(store, settings.security.require_agent_attestation),
            ContradictionFinder(store),
            metrics,
        ),
        recall=RecallService(
            store,
            _pipeline(settings, store, around),
            clock,
            touches,
            metrics,
            _scope_defaults(settings),
        ),
        archive=ArchiveService(store, clock, lives, archive_deleted=archives),
        agents=AgentService(store, clock),
        messages=MessageService(store, clock, ids, lives),
        subscriptions=SubscriptionService(
            store,
            clock,
            ids,
            SystemRandomness(),
            SystemResolver(),
            SubscriptionRules(
                settings.subscriptions.allow_loopback_webhooks,
                settings.hooks.subscription.hmac_secret is not None,
            ),
        ),
        portability=PortabilityService(store, clock, ids, limits),
        quotas=QuotaService(store, clock, limits),
        loading=LoadingService(store, clock),
        links=_links(settings, store, clock, limits),
        graph=GraphService(store, clock),
        duplicates=DuplicateService(store, clock, around.queries),
        entities=EntityService(store, clock, limits, archive_deleted=archives),
        namespaces=NamespaceService(store, clock, archive_deleted=archives),
        consolidation=ConsolidationService(store, clock, ids, lives, archive_deleted=archives),
        disagreements=DisagreementService(store, clock),
    )
    return Composed(services, touches)


def _links(settings: Settings, store: Store, clock: Clock, limits: QuotaLimits) -> LinkService:
    identity = settings.identity
    keys = None if identity.key_dir is None else KeyDirectory(identity.key_dir)
    signer_id = identity.agent_id or identity.default_agent_id
    key = None if keys is None else keys.private_key(signer_id)
    return LinkService(
        store,
        clock,
        NoLinkSigner() if key is None else KeyLinkSigner(signer_id, key),
        LinkVerifier(keys),
        LinkRules(limits, settings.verify.require_nonce),
    )


def _pipeline(
    settings: Settings, store: Store, around: Surroundings
) -> RecallPipeline[MemoryFilter]:
    legs = StoreLegs(store)
    chosen = settings.scoring
    half_lives = HalfLives(
        chosen.half_life_days_short, chosen.half_life_days_mid, chosen.half_life_days_long
    )
    scoring = Scoring.legacy() if chosen.legacy_scoring else Scoring(Weights.FUSED, half_lives)
    return RecallPipeline(
        legs,
        legs,
        around.clock,
        open_token_counter(),
        SessionRings(),
        None if around.queries is None else (around.queries, legs),
        scoring,
    )


def _scope_defaults(settings: Settings) -> ScopeDefaults:
    scope = settings.agents.defaults.recall_scope
    return ScopeDefaults(
        namespace=scope.namespaces[0] if scope.namespaces else None,
        since=scope.since,
        tier=scope.tier,
        limit=scope.limit,
    )


class SystemResolver:
    """Names to addresses as the operating system knows them."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Every address of a host, asked off the event loop."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [cast("str", address[0]) for *_, address in found]

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
from app.replication.attestation import parse_attestation
from app.replication.v070.gate import GateRules, SyncGate
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
from app.services.federation import FederationService
from app.services.graph import GraphService
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
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
from app.services.reembed import ReembedService
from app.services.retrieval import StoreLegs
from app.services.semantic_twins import SemanticTwins
from app.services.subscriptions import SubscriptionRules, SubscriptionService
from app.services.sync import EnrolledKeys, SyncRules, SyncService
from app.services.touches import Extensions, Touches
from app.store.protocol import QuotaLimits, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from app.bootstrap.embedding import QueryThreads
    from app.config.resolve import Resolution
    from app.config.settings import Settings
    from app.domain.sources import Clock, IdSource
    from app.recall.embedding.protocol import Embedder
    from app.services.embedding_state import EmbeddingState
    from app.store.sql.filters import MemoryFilter


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What services need beside the store: time, ids, and the embedder if there is one."""

    clock: Clock
    ids: IdSource
    queries: QueryThreads | None
    documents: tuple[Embedder, Executor] | None
    embedding: Callable[[], EmbeddingState]


@dataclass(frozen=True, slots=True)
class Composed:
    """The services, and what the node runs in the background for them."""

    services: Services
    touches: Touches


@dataclass(frozen=True, slots=True)
class _Rules:
    """What several services are told alike."""

    lives: TierLives
    limits: QuotaLimits
    archives: bool
    """Whether what expires or is deleted leaves a copy in the archive."""


def compose(resolution: Resolution, store: Store, around: Surroundings) -> Composed:
    """The services of one node."""
    settings = resolution.settings
    clock, ids = around.clock, around.ids
    metrics = Metrics()
    federation = FederationService(store, metrics)
    rules = _rules(settings)
    lives, limits, archives = rules.lives, rules.limits, rules.archives
    touches = Touches(
        store, clock, Extensions(settings.ttl.short_extend_secs, settings.ttl.mid_extend_secs)
    )
    services = Services(
        health=HealthService(store, around.embedding, federation),
        metrics=metrics,
        capabilities=CapabilityService(store, metrics, around.embedding, _facts(settings)),
        maintenance=MaintenanceService(
            store,
            clock,
            metrics,
            around.embedding,
            archive_on_gc=archives,
            archive_max_days=settings.storage.archive_max_days,
        ),
        memories=_memories(settings, store, around, rules, metrics),
        recall=RecallService(
            store,
            _pipeline(settings, store, around),
            clock,
            touches,
            metrics,
            _scope_defaults(settings),
        ),
        archive=ArchiveService(store, clock, lives, archive_deleted=archives),
        agents=AgentService(store, clock, archive_expired=archives),
        messages=MessageService(store, clock, ids, lives),
        subscriptions=_subscriptions(settings, store, around),
        portability=PortabilityService(store, clock, ids, limits, archive_expired=archives),
        quotas=QuotaService(store, clock, limits),
        loading=LoadingService(store, clock),
        links=_links(settings, store, clock, limits),
        graph=GraphService(store, clock),
        duplicates=DuplicateService(store, clock, around.queries),
        entities=EntityService(store, clock, limits, archive_deleted=archives),
        namespaces=NamespaceService(store, clock, archive_deleted=archives),
        consolidation=ConsolidationService(store, clock, ids, lives, archive_deleted=archives),
        disagreements=DisagreementService(store, clock),
        federation=federation,
        idempotency=IdempotencyService(store, clock),
        reembed=_reembed(settings, store, around),
        sync=_sync(settings, store, clock, rules),
    )
    return Composed(services, touches)


def _rules(settings: Settings) -> _Rules:
    ttl, limits = settings.ttl, settings.limits
    return _Rules(
        TierLives(ttl.short_ttl_secs, ttl.mid_ttl_secs, ttl.long_ttl_secs),
        QuotaLimits(
            limits.max_memories_per_day, limits.max_storage_bytes, limits.max_links_per_day
        ),
        settings.storage.archive_on_gc,
    )


def _facts(settings: Settings) -> CapabilityFacts:
    return CapabilityFacts(
        version=WIRE_VERSION,
        tier=settings.tier,
        permissions_mode=settings.permissions.mode,
        profile=settings.mcp.profile,
    )


def _memories(
    settings: Settings, store: Store, around: Surroundings, rules: _Rules, metrics: Metrics
) -> MemoryService:
    return MemoryService(
        store,
        around.clock,
        around.ids,
        MemoryRules(
            rules.lives, rules.limits, settings.storage.near_duplicate != "off", rules.archives
        ),
        Attestation(store, settings.security.require_agent_attestation),
        ContradictionFinder(store),
        metrics,
        SemanticTwins(store, around.queries)
        if settings.storage.near_duplicate == "sync" and around.queries is not None
        else None,
    )


def _subscriptions(settings: Settings, store: Store, around: Surroundings) -> SubscriptionService:
    return SubscriptionService(
        store,
        around.clock,
        around.ids,
        SystemRandomness(),
        SystemResolver(),
        SubscriptionRules(
            settings.subscriptions.allow_loopback_webhooks,
            settings.hooks.subscription.hmac_secret is not None,
        ),
    )


def _reembed(settings: Settings, store: Store, around: Surroundings) -> ReembedService | None:
    if around.documents is None:
        return None
    embedder, executor = around.documents
    return ReembedService(store, around.clock, embedder, settings.embeddings.backend, executor)


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


def _sync(settings: Settings, store: Store, clock: Clock, rules: _Rules) -> SyncService:
    federation, identity = settings.federation, settings.identity
    keys = None if identity.key_dir is None else KeyDirectory(identity.key_dir)
    gate = SyncGate(
        GateRules(
            require_sig=federation.require_sig,
            require_nonce=federation.require_nonce,
            require_enrollment=federation.require_peer_enrollment
            and not federation.allow_unenrolled_peers,
            trust_body_agent_id=federation.trust_body_agent_id,
            sync_trust_peer=federation.sync_trust_peer,
            attestation=parse_attestation(federation.peer_attestation),
        ),
        None if keys is None else EnrolledKeys(keys),
    )
    return SyncService(
        store,
        clock,
        gate,
        LinkVerifier(keys),
        SyncRules(
            federation.identity or f"host:{socket.gethostname()}",
            rules.lives,
            rules.limits,
            settings.limits.max_page_size,
        ),
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
        legs, around.clock, open_token_counter(), SessionRings(), around.queries, scoring
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

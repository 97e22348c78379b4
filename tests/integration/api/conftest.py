"""The HTTP surface over a real store of each kind, in this process.

`api` is the surface that most tests need: keyless loopback, whose default identity is an admin, as
under `make serve`. `make_api(ApiOptions(...))` opens one more over the same store, `clock.advance`
lets time pass. A new service gets its line in `make_services`.
"""

import os
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient
from litestar.types import ASGIApp

from app.api.options import ApiOptions
from app.asgi import furnish, routed
from app.observability.metrics import Metrics
from app.recall.pipeline import RecallPipeline
from app.recall.sessions import SessionRings
from app.recall.tokens import EstimatedTokens
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
from app.services.embedding_state import EmbeddingState
from app.services.entities import EntityService
from app.services.federation import FederationService
from app.services.graph import GraphService
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.keys import KeyDirectory
from app.services.link_signing import LinkVerifier, NoLinkSigner
from app.services.links import LinkRules, LinkService
from app.services.loading import LoadingService
from app.services.maintenance import MaintenanceService
from app.services.memories import MemoryRules, MemoryService
from app.services.messages import MessageService
from app.services.namespaces import NamespaceService
from app.services.new_memory import TierLives
from app.services.portability import PortabilityService
from app.services.quotas import QuotaService
from app.services.recall import RecallService
from app.services.retrieval import StoreLegs
from app.services.subscriptions import SubscriptionRules, SubscriptionService
from app.services.sync import EnrolledKeys, SyncRules, SyncService
from app.services.touches import Extensions, Touches
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.protocol import QuotaLimits, Store
from app.store.schema import migrate
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions

Api = AsyncTestClient[Litestar]
ApiFactory = Callable[..., Awaitable[Api]]

LIMITS: Final = QuotaLimits(1_000, 104_857_600, 5_000)
HOME_OPTIONS = ApiOptions(loopback_default_admin=True)


class MovableClock:
    """Real time, and as much later as the test says."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def advance(self, **time_span: float) -> None:
        self._ahead += timedelta(**time_span)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead.total_seconds()


class RandomIds:
    """New ids by chance."""

    def uuid4(self) -> str:
        return str(uuid.uuid4())


class SystemRandomness:
    """Unguessable bytes."""

    def token(self, byte_count: int) -> bytes:
        return secrets.token_bytes(byte_count)


class RealDiskSync:
    """The system's own."""

    def file(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class HostTable:
    """Names to addresses, so that no test asks the network."""

    _KNOWN: Final[Mapping[str, Sequence[str]]] = {
        "hooks.example.com": ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"),
        "inward.example.com": ("93.184.215.14", "10.0.0.7"),
        "localhost": ("127.0.0.1", "::1"),
        "nowhere.example.com": (),
    }

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        if host not in self._KNOWN:
            raise OSError(f"{host} is not known")
        return self._KNOWN[host]


def make_services(store: Store, clock: MovableClock, touches: Touches) -> Services:
    """Every service over one store, as the composition root builds them, without an embedder."""
    metrics = Metrics()
    federation = FederationService(store, metrics)
    facts = CapabilityFacts(
        version="0.7.0",
        tier="keyword",
        permissions_mode="enforce",
        profile="core",
    )
    return Services(
        health=HealthService(store, EmbeddingState, federation),
        metrics=metrics,
        capabilities=CapabilityService(store, metrics, EmbeddingState, facts),
        maintenance=MaintenanceService(
            store,
            clock,
            metrics,
            EmbeddingState,
            archive_on_gc=True,
            archive_max_days=None,
        ),
        memories=MemoryService(
            store,
            clock,
            RandomIds(),
            MemoryRules(limits=LIMITS),
            Attestation(store),
            ContradictionFinder(store, seconds_max=5.0),
            metrics,
        ),
        recall=RecallService(store, make_pipeline(store, clock), clock, touches, metrics),
        archive=ArchiveService(store, clock, TierLives(), archive_deleted=True),
        agents=AgentService(store, clock),
        messages=MessageService(store, clock, RandomIds()),
        subscriptions=SubscriptionService(
            store, clock, RandomIds(), SystemRandomness(), HostTable(), SubscriptionRules()
        ),
        portability=PortabilityService(store, clock, RandomIds(), LIMITS),
        quotas=QuotaService(store, clock, LIMITS),
        loading=LoadingService(store, clock),
        links=LinkService(store, clock, NoLinkSigner(), LinkVerifier(None), LinkRules(LIMITS)),
        graph=GraphService(store, clock),
        duplicates=DuplicateService(store, clock),
        entities=EntityService(store, clock, LIMITS),
        namespaces=NamespaceService(store, clock),
        consolidation=ConsolidationService(store, clock, RandomIds(), TierLives()),
        disagreements=DisagreementService(store, clock),
        sync=make_sync(store, clock),
        federation=federation,
        idempotency=IdempotencyService(store, clock),
    )


def make_sync(
    store: Store,
    clock: MovableClock,
    rules: GateRules = GateRules(),  # noqa: B008 - a frozen value
    keys: KeyDirectory | None = None,
    limits: QuotaLimits = LIMITS,
) -> SyncService:
    """v0.7.0's wire with the compiled rules of who may use it, unless others are given."""
    gate = SyncGate(rules, None if keys is None else EnrolledKeys(keys))
    return SyncService(
        store, clock, gate, LinkVerifier(keys), SyncRules("host:here", TierLives(), limits)
    )


def make_pipeline(store: Store, clock: MovableClock) -> RecallPipeline[MemoryFilter]:
    """Recall by words alone."""
    legs = StoreLegs(store)
    return RecallPipeline(legs, clock, EstimatedTokens(), SessionRings())


def open_store(path: Path, clock: MovableClock) -> Store:
    """A store in a new file, for tests that need one more than the fixture's."""
    migrate(path, lambda _: None)
    sources = Sources(clock, SystemRandomness(), RealDiskSync())
    return SqliteStore.open(SqliteOptions(FileOptions(path)), sources)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


def open_on_server(address: str, clock: MovableClock) -> Store:
    """A store in a database with the newest schema."""
    options = PostgresOptions(PostgresUrl.parse(address), most=4, least=1)
    return PostgresStore(WriteOptions(options), clock, SystemRandomness())


@pytest.fixture(params=["sqlite", "postgres"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: MovableClock
) -> AsyncIterator[Store]:
    """An empty store: every test of the surface has to pass on both."""
    if request.param == "postgres":
        opened = open_on_server(request.getfixturevalue("postgres_emptied"), clock)
    else:
        opened = open_store(tmp_path / "node.db", clock)
    yield opened
    await opened.close()


@pytest.fixture
def touches(store: Store, clock: MovableClock) -> Touches:
    """What recalls leave behind; `flush` writes it, as the node's loop would."""
    return Touches(store, clock, Extensions())


@pytest.fixture
async def services(store: Store, clock: MovableClock, touches: Touches) -> Services:
    return make_services(store, clock, touches)


_SPARE: Final[list[tuple[Litestar, ASGIApp]]] = []
"""Applications of earlier tests: to make the routes takes longer than most tests."""


@contextmanager
def surface(services: Services, options: ApiOptions = HOME_OPTIONS) -> Iterator[Litestar]:
    """The application over these services."""
    if _SPARE:
        app, router = _SPARE.pop()
    else:
        app = routed(options.version)
        router = app.asgi_handler
    furnish(app, router, services, options, RandomIds())
    yield app
    _SPARE.append((app, router))


@asynccontextmanager
async def open_api(services: Services, options: ApiOptions = HOME_OPTIONS) -> AsyncIterator[Api]:
    """A client of it."""
    with surface(services, options) as app:
        async with AsyncTestClient(app) as client:
            yield client


@pytest.fixture
async def make_api(services: Services) -> AsyncIterator[ApiFactory]:
    """Open a surface with given options over the test's store."""
    async with AsyncExitStack() as opened:

        async def make(options: ApiOptions = HOME_OPTIONS) -> Api:
            return await opened.enter_async_context(open_api(services, options))

        yield make


@pytest.fixture
async def api(make_api: ApiFactory) -> Api:
    return await make_api()

"""The HTTP surface over a real SQLite store, in this process.

`api` is the surface that most tests need: keyless loopback, whose default identity is an admin, as
under `make serve`. `make_api(ApiOptions(...))` opens one more over the same store, `clock.advance`
lets time pass. A new service gets its line in `make_services`.
"""

import os
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from app.api.options import ApiOptions
from app.asgi import create_app
from app.observability.metrics import Metrics
from app.services.bundle import Services
from app.services.capabilities import CapabilityFacts, CapabilityService
from app.services.embedding_state import EmbeddingState
from app.services.health import HealthService
from app.services.maintenance import MaintenanceService
from app.store.protocol import Store
from app.store.schema import migrate
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions

Api = AsyncTestClient[Litestar]
ApiFactory = Callable[..., Awaitable[Api]]

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


def make_services(store: Store, clock: MovableClock) -> Services:
    """Every service over one store, as the composition root builds them, without an embedder."""
    metrics = Metrics()
    facts = CapabilityFacts(
        version="0.7.0",
        tier="keyword",
        permissions_mode="enforce",
        profile="core",
        kg_backend="cte",
    )
    return Services(
        health=HealthService(store, EmbeddingState, federation_enabled=False),
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
    )


def open_store(path: Path, clock: MovableClock) -> Store:
    """A store in a new file, for tests that need one more than the fixture's."""
    migrate(path, lambda _: None)
    sources = Sources(clock, SystemRandomness(), RealDiskSync())
    return SqliteStore.open(SqliteOptions(FileOptions(path)), sources)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def store(tmp_path: Path, clock: MovableClock) -> AsyncIterator[Store]:
    """An empty store in a file."""
    opened = open_store(tmp_path / "node.db", clock)
    yield opened
    await opened.close()


@pytest.fixture
async def services(store: Store, clock: MovableClock) -> Services:
    return make_services(store, clock)


@pytest.fixture
async def make_api(services: Services) -> AsyncIterator[ApiFactory]:
    """Open a surface with given options over the test's store."""
    async with AsyncExitStack() as opened:

        async def make(options: ApiOptions = HOME_OPTIONS) -> Api:
            app = create_app(services, options, RandomIds())
            return await opened.enter_async_context(AsyncTestClient(app))

        yield make


@pytest.fixture
async def api(make_api: ApiFactory) -> Api:
    return await make_api()

"""The HTTP surface over a real SQLite store, in this process.

`make_api(options)` opens one more surface over the same store; `api` is the one that most tests
need: keyless loopback, whose default identity is an admin, as under `make serve`.
"""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from app.api.options import ApiOptions
from app.asgi import create_app
from app.observability.metrics import Metrics
from app.services.bundle import Services
from app.services.health import HealthService
from app.store.protocol import Store

Api = AsyncTestClient[Litestar]

HOME_OPTIONS = ApiOptions(loopback_default_admin=True)


class RandomIds:
    """New ids by chance."""

    def uuid4(self) -> str:
        return str(uuid.uuid4())


def make_services(store: Store) -> Services:
    """Every service over one store, as the composition root builds them."""
    return Services(
        health=HealthService(store, lambda: False, federation_enabled=False),
        metrics=Metrics(),
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store in a file."""
    from app.store.sqlite.adapter import SqliteStore

    opened = await SqliteStore.open(tmp_path / "node.db")
    yield opened
    await opened.close()


@pytest.fixture
async def services(store: Store) -> Services:
    return make_services(store)


@pytest.fixture
async def make_api(services: Services) -> AsyncIterator[Callable[..., object]]:
    """Open a surface with given options over the test's store."""
    async with AsyncExitStack() as opened:

        async def make(options: ApiOptions = HOME_OPTIONS) -> Api:
            app = create_app(services, options, RandomIds())
            return await opened.enter_async_context(AsyncTestClient(app))

        yield make


@pytest.fixture
async def api(make_api) -> Api:
    return await make_api()

"""Running a node: over TCP with its control socket, or in place for one command.

Both serve the same application. A command finds the node that has the store
open and talks to its control socket; without one it opens the store itself.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import httpx
import uvloop

from app.api.federation import Federation
from app.api.listener import bind, control_surface, listen, make_server
from app.api.options import ApiOptions
from app.asgi import create_app
from app.bootstrap.mesh_plan import is_loopback, plan_federation
from app.bootstrap.node import NodePlan, run_node
from app.bootstrap.sources import SystemIds
from app.config.errors import ConfigRefusedError
from app.domain.errors import AiMemoryError, StoreUnavailableError
from app.replication.messages import Method
from app.store.sqlite.ownership import COMMAND, SERVE, OwnedElsewhereError, read_owner

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Coroutine

    from litestar import Litestar

    from app.api.listener import Server
    from app.bootstrap.door import MeshDoor
    from app.bootstrap.node import Node
    from app.bootstrap.place import StorePlace
    from app.config.resolve import Resolution

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

CONTROL_URL: Final = "http://ai-memory"
CONTROL_SECONDS: Final = 600.0
SWITCH_SECONDS: Final = 0.002
GC_THRESHOLDS: Final = (20_000, 20, 50)
_OWNER_WAIT_SECONDS: Final = 30.0
_OWNER_POLL_SECONDS: Final = 0.05


class ListenError(AiMemoryError):
    """The address cannot be listened on; `reason` is `in_use` or `unusable`."""

    code = "LISTEN_FAILED"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `serve` is told beside its configuration."""

    resolution: Resolution
    place: StorePlace
    host: str = "127.0.0.1"
    port: int = 9077
    grace_seconds: int = 30


def run(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine on the event loop that serves fastest here."""
    # The writer computes in a thread of its own: a request must not wait 5 ms for each turn.
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is loaded by now stays: the collector need not look at it again, nor at every request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def api_options(
    resolution: Resolution, *, loopback: bool, has_client_certificates: bool = False
) -> ApiOptions:
    """The HTTP surface's options out of the settings."""
    settings = resolution.settings
    is_open = settings.api_key is None and not has_client_certificates
    return ApiOptions(
        api_key=settings.api_key,
        sync_key_exempt=has_client_certificates,
        request_timeout_seconds=float(settings.request_timeout_secs),
        page_max=settings.limits.max_page_size,
        admin_agent_ids=frozenset(settings.admin.agent_ids),
        admin_header_trust=settings.admin.header_trust,
        loopback_default_admin=settings.admin.loopback_default,
        default_agent_id=settings.identity.default_agent_id,
        keyless_loopback=loopback and is_open,
        per_request_anonymous=settings.identity.per_request_anonymous,
    )


def check_exposure(options: ServeOptions, *, has_client_certificates: bool = False) -> None:
    """Refuse to listen where strangers could write (config 5.5).

    Raises:
        ConfigRefusedError: a non-loopback bind without a key and without client certificates, or
            a required key is missing.
    """
    settings = options.resolution.settings
    if settings.api_key is not None:
        return
    if not is_loopback(options.host) and not has_client_certificates:
        raise ConfigRefusedError(
            f"refusing to listen on {options.host} without an api_key: set one in the"
            " configuration, or give --mtls-allowlist"
        )
    if settings.security.require_api_key:
        raise ConfigRefusedError("AI_MEMORY_REQUIRE_API_KEY is set and no api_key is configured")


async def serve(
    options: ServeOptions,
    report: Callable[[str, int, int], None],
    ready: Callable[[str], None],
) -> None:
    """Run a node until SIGINT or SIGTERM, then drain within the grace period.

    `ready` hears the URL once requests are answered.

    Raises:
        ListenError: the address cannot be used.
        AiMemoryError: the store cannot be opened, or the configuration is refused.
    """
    federation = plan_federation(options.resolution)
    is_guarded = federation.has_client_certificates
    check_exposure(options, has_client_certificates=is_guarded)
    for url in federation.readable_peers:
        _LOGGER.warning("what is said to %s can be read and changed on its way: use https://", url)
    listener = _bind(options.host, options.port)
    plan = NodePlan(options.resolution, options.place, SERVE, federation=federation)
    try:
        async with run_node(plan, report) as node:
            loopback = is_loopback(options.host)
            app = _application(node, loopback=loopback, has_client_certificates=is_guarded)
            public = make_server(app, options.grace_seconds, guard=federation.guard)
            control = make_server(
                control_surface(app),
                options.grace_seconds,
                unix_socket=node.lock.control_socket,
            )
            _stop_on_signals([public, control])
            _reload_on_signal(node.door)
            try:
                _listen(listener)
                async with asyncio.TaskGroup() as servers:
                    servers.create_task(control.serve())
                    running = servers.create_task(public.serve(sockets=[listener]))
                    while not public.started and not running.done():  # noqa: ASYNC110 - the server has no event
                        await asyncio.sleep(0)
                    host, port = listener.getsockname()[:2]
                    scheme = "http" if federation.guard is None else "https"
                    ready(f"{scheme}://{host}:{port}")
            finally:
                node.lock.control_socket.unlink(missing_ok=True)
    finally:
        listener.close()


def _bind(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise _unusable(host, port, error) from error


def _listen(listener: socket.socket) -> None:
    try:
        listen(listener)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _unusable(host, port, error) from error


def _unusable(host: str, port: int, error: OSError) -> ListenError:
    reason = "in_use" if error.errno == errno.EADDRINUSE else "unusable"
    return ListenError(f"cannot listen on {host}:{port}: {error.strerror}", reason=reason)


def _application(node: Node, *, loopback: bool, has_client_certificates: bool = False) -> Litestar:
    options = api_options(
        node.plan.resolution, loopback=loopback, has_client_certificates=has_client_certificates
    )
    door = None if node.door is None else _Door(node.door)
    return create_app(node.services, options, SystemIds(), federation=door)


class _Door:
    """A node's mesh, as its surface finds it."""

    def __init__(self, door: MeshDoor) -> None:
        self._door = door

    async def enter(self, method: Method) -> Federation | None:
        """A hello begins the mesh if there is none."""
        mesh = self._door.mesh
        if mesh is None:
            if method is not Method.HELLO:
                return None
            mesh = await self._door.open()
        return Federation(mesh.mesh, mesh.authenticator)


def _stop_on_signals(servers: list[Server]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            if server.should_exit:
                server.force_exit = True  # asked twice: do not wait for clients
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _reload_on_signal(door: MeshDoor | None) -> None:
    """SIGHUP: read certificates, allowlist and peers again."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[int]] = set()

    def reload() -> None:
        if door is not None and door.mesh is not None:
            task = loop.create_task(door.mesh.reloader.check(everything=True))
            running.add(task)
            task.add_done_callback(running.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)


@asynccontextmanager
async def local_client(
    resolution: Resolution,
    place: StorePlace,
    agent_id: str | None,
    report: Callable[[str, int, int], None],
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the node that has the store open, or of one opened for this command.

    Raises:
        AiMemoryError: the store cannot be opened.
    """
    headers = {} if agent_id is None else {"X-Agent-Id": agent_id}
    async with AsyncExitStack() as stack:
        transport = await _transport(stack, resolution, place, report)
        yield await stack.enter_async_context(
            httpx.AsyncClient(
                transport=transport,
                base_url=CONTROL_URL,
                headers=headers,
                timeout=CONTROL_SECONDS,
            )
        )


async def _transport(
    stack: AsyncExitStack,
    resolution: Resolution,
    place: StorePlace,
    report: Callable[[str, int, int], None],
) -> httpx.AsyncBaseTransport:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _OWNER_WAIT_SECONDS
    while True:
        try:
            node = await stack.enter_async_context(
                run_node(NodePlan(resolution, place, COMMAND), report)
            )
        except OwnedElsewhereError as error:
            owner = read_owner(place.local)
            if owner is not None and owner.role == SERVE and owner.socket is not None:
                transport = httpx.AsyncHTTPTransport(uds=owner.socket)
                if await _answers(transport):
                    return transport
            # Another command has it for a moment, or a node is starting or stopping.
            if loop.time() > deadline:
                raise StoreUnavailableError(error.message, retry_after_seconds=1) from error
            await asyncio.sleep(_OWNER_POLL_SECONDS)
        else:
            app = _application(node, loopback=True)
            return httpx.ASGITransport(control_surface(app))  # type: ignore[arg-type]  # two spellings of the same ASGI callable


async def _answers(transport: httpx.AsyncHTTPTransport) -> bool:
    request = httpx.Request("GET", f"{CONTROL_URL}/api/v1/health")
    try:
        response = await transport.handle_async_request(request)
        await response.aread()
    except httpx.TransportError:
        return False
    return True

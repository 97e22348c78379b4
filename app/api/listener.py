"""Listening: one protocol class that cuts slow clients off, servers that stop when told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
from litestar.enums import ScopeType
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.identity import CONTROL_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litestar.types import ASGIApp, Receive, Scope, Send

HEADER_SECONDS_MAX: Final = 20.0
"""How long a client may take to send the head of a request, from its first byte or connection."""
KEEP_ALIVE_SECONDS: Final = 75
_BACKLOG: Final = 2_048


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection whose request head does not arrive in time."""

    _head_deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base narrows it
        super().connection_made(transport)
        self._expect_head()

    @override
    def data_received(self, data: bytes) -> None:
        if self._head_deadline is None and self._is_between_requests():
            self._expect_head()
        super().data_received(data)

    @override
    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _expect_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_deadline = loop.call_later(HEADER_SECONDS_MAX, self._cut_off)

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _cut_off(self) -> None:
        self._head_deadline = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Leaves signals to the process that runs it."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        OSError: the address is in use, unknown, or not ours to bind.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def make_server(app: ASGIApp, grace_seconds: int, *, unix_socket: Path | None = None) -> Server:
    """A server that runs in the current loop; the caller owns the application's life."""
    if unix_socket is not None:
        _claim(unix_socket)
    config = uvicorn.Config(
        app,
        uds=None if unix_socket is None else str(unix_socket),
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )
    return Server(config)


def _claim(path: Path) -> None:
    """Leave a socket file that only we may use: the server keeps the mode of what it replaces."""
    path.unlink(missing_ok=True)
    placeholder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        placeholder.bind(str(path))
        path.chmod(0o600)
    finally:
        placeholder.close()


def control_surface(app: ASGIApp) -> ASGIApp:
    """The application as callers with file access reach it."""

    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            extensions = dict(scope.get("extensions") or {})
            extensions[CONTROL_MARK] = {"granted": True}
            scope["extensions"] = extensions
        await app(scope, receive, send)

    return marked

"""Listening: one protocol class that cuts slow clients off, servers that stop when told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import structlog
import uvicorn
from litestar.enums import ScopeType
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.client_certificates import CERTIFICATE_MARK
from app.api.errors import encode, envelope
from app.api.identity import CONTROL_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.replication.admission import ClientAdmission, Guard

HEADER_SECONDS_MAX: Final = 20.0
"""How long a client may take to send the head of a request, from its first byte or connection."""
HEAD_BYTES_MAX: Final = 262_144
"""Of a request line and headers: more than any address or name may be long."""
KEEP_ALIVE_SECONDS: Final = 75
GOODBYE_SECONDS_MAX: Final = 0.5
"""How long the end of an idle TLS connection waits for the client's consent at a shutdown."""
_BACKLOG: Final = 2_048
_log = structlog.get_logger("ai_memory.api")


class TimedProtocol(HttpToolsProtocol):
    """Closes a connection whose request head does not arrive in time, or without an end.

    What never becomes a request is refused here, in the one shape that refusals have.
    """

    admission: ClassVar[ClientAdmission | None] = None
    _unread: ClassVar = itertools.count(1)
    _head_deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _fingerprint: str | None = None
    _is_refused = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base narrows it
        if self.admission is not None:
            tls = transport.get_extra_info("ssl_object")
            shown = None if tls is None else tls.getpeercert(binary_form=True)
            self._fingerprint = self.admission.enter(shown, transport)
            if self._fingerprint is None:
                self._is_refused = True
                transport.abort()
                return
        super().connection_made(transport)
        self._expect_head()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._fingerprint is not None:
            self.scope["extensions"] = {CERTIFICATE_MARK: {"fingerprint": self._fingerprint}}

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._head_deadline is None and self._is_between_requests():
            self._expect_head()
        self._head_bytes += len(data)
        super().data_received(data)
        is_endless = self._head_deadline is not None and self._head_bytes > HEAD_BYTES_MAX
        if is_endless and not self.transport.is_closing():
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of the request is larger than {HEAD_BYTES_MAX} bytes",
            )

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "malformed HTTP request")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        request_id = f"unread-{next(self._unread):x}"
        _log.warning("request cannot be read", request_id=request_id, reason=message)
        # In the middle of a reply there is no place for another one.
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = encode(envelope(message, {}, request_id))
            lines = (
                f"HTTP/1.1 {status.value} {status.phrase}",
                "content-type: application/json",
                f"content-length: {len(body)}",
                f"x-request-id: {request_id}",
                "connection: close",
                "\r\n",
            )
            self.transport.write("\r\n".join(lines).encode("ascii") + body)
        self.transport.close()

    @override
    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    @override
    def shutdown(self) -> None:
        super().shutdown()
        if self.scheme == "https":
            # A client that is not reading never says goodbye, and nothing is left to tell it.
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS_MAX, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self._is_between_requests():
            self.transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_refused:
            return
        if self.admission is not None:
            self.admission.leave(self.transport)
        self._head_arrived()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _expect_head(self) -> None:
        self._head_bytes = 0
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
    """A TCP socket that has its address and does not listen yet: until then callers are refused.

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
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def listen(listener: socket.socket) -> None:
    """Let callers queue for whoever accepts them.

    Raises:
        OSError: somebody else has begun to listen there meanwhile.
    """
    listener.listen(_BACKLOG)


def make_server(
    app: ASGIApp,
    grace_seconds: int,
    *,
    unix_socket: Path | None = None,
    guard: Guard | None = None,
) -> Server:
    """A server that runs in the current loop; the caller owns the application's life."""
    if unix_socket is not None:
        _claim(unix_socket)
    config = uvicorn.Config(
        app,
        uds=None if unix_socket is None else str(unix_socket),
        http=TimedProtocol if guard is None else _guarded(guard),
        ssl_context_factory=None if guard is None else lambda *_: guard.context,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=grace_seconds,
    )
    return Server(config)


def _guarded(guard: Guard) -> type[TimedProtocol]:
    """The protocol of one port: uvicorn makes it by itself and hands nothing of ours through."""

    class Guarded(TimedProtocol):
        admission = guard.admission

    return Guarded


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

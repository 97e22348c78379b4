"""One kept HTTP/1.1 connection to a peer, for one request at a time.

A general client spends more on a request than the lane on the rows in it (docs/adr/0020); what a
lane needs of HTTP is this.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httptools
from typing_extensions import override

if TYPE_CHECKING:
    import ssl

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class ConnectionLostError(Exception):
    """The connection ended before the answer did.

    `is_unanswered`: not one byte of this answer came, `is_fresh`: nor of any other before it.
    """

    def __init__(self, *, is_unanswered: bool, is_fresh: bool) -> None:
        super().__init__("the peer closed the connection")
        self.is_unanswered = is_unanswered
        self.is_fresh = is_fresh


class BadAnswerError(Exception):
    """What came is no HTTP answer, or a larger one than is read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer answered."""

    status: int
    body: bytes
    retry_after: str | None = None


class PeerConnection(asyncio.Protocol):
    """The protocol of one connection; `context` is that of its TLS."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._parts: list[bytes] = []
        self._received = 0
        self._retry_after: str | None = None
        self._answers = 0
        self._keeps_alive = True

    @property
    def is_usable(self) -> bool:
        """Whether another request may be sent."""
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and self._waiter is None
            and self._keeps_alive
        )

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request and wait for its answer.

        Raises:
            ConnectionLostError: no answer, or half of one.
            BadAnswerError: something else than an answer.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionLostError(is_unanswered=True, is_fresh=not self._answers)
        self._parts, self._received, self._retry_after = [], 0, None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        except BaseException:
            self.close()  # an answer that nobody waits for would be taken for the next one
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the base narrows it
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.close()
            return
        self._received += len(data)
        if self._received > ANSWER_BYTES_MAX:
            self._fail(BadAnswerError(f"an answer of more than {ANSWER_BYTES_MAX} bytes"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(BadAnswerError("the answer is no HTTP"))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(
            ConnectionLostError(is_unanswered=not self._received, is_fresh=not self._answers)
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._keeps_alive = self._parser.should_keep_alive()
        self._answers += 1
        if self._waiter is not None and not self._waiter.done():
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._waiter.set_result(Answer(self._parser.get_status_code(), body, self._retry_after))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.close()


async def connect(
    host: str, port: int, context: ssl.SSLContext | None, server_name: str
) -> PeerConnection:
    """A new connection; with `context` over TLS, to a server that proves to be `server_name`.

    Raises:
        OSError: nobody answers there, or the handshake failed (`ssl.SSLError`).
    """
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: PeerConnection(context),
        host,
        port,
        ssl=context,
        server_hostname=None if context is None else server_name,
    )
    return connection

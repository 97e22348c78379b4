"""How much of a body is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.api.errors import ApiError

if TYPE_CHECKING:
    from litestar.types import Receive, ReceiveMessage

_DISCARDED_TIMES_LIMIT: Final = 4


def too_large(limit_bytes: int) -> ApiError:
    """413, as it is said everywhere (http-api 7.4, row 44)."""
    return ApiError(413, "request body too large", limit_bytes=limit_bytes)


class BodyLimit:
    """A `receive` that counts what really arrives, whatever Content-Length says or leaves out."""

    def __init__(self, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._received_bytes = 0
        self._ended = False
        self._is_complete = False

    async def __call__(self) -> ReceiveMessage:
        message = await self._next()
        if message["type"] == "http.disconnect" and not self._is_complete:
            raise ApiError(400, "the request's body ended early")
        if self._received_bytes > self._limit_bytes:
            await self.discard()
            raise too_large(self._limit_bytes)
        return message

    async def discard(self) -> None:
        """Read on for a while, so that a client that sends first and reads then gets the answer."""
        enough = _DISCARDED_TIMES_LIMIT * self._limit_bytes
        while not self._ended and self._received_bytes < enough:
            await self._next()

    async def _next(self) -> ReceiveMessage:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received_bytes += len(message["body"])
            self._ended = self._is_complete = not message.get("more_body", False)
        else:
            self._ended = True
        return message

"""Requests and replies past the framework, for routes where its own work would show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.api.errors import ApiError, refusal
from app.api.request import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.types import HTTPScope, Receive, ReceiveMessage, Send

_JSON: Final = b"application/json"


async def read_body(receive: Receive) -> bytes:
    """The whole body.

    Raises:
        ApiError: it ended early (400), or is larger than the gate lets through (413).
    """
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ApiError(400, "the request's body ended early")
        parts.append(message["body"])
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more for whoever comes next."""
    given = False

    async def replay() -> ReceiveMessage:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def refuse(scope: HTTPScope, send: Send, error: Exception) -> None:
    """Answer an error as every route does."""
    response = refusal(ApiRequest(scope), error)
    headers = [(k.lower().encode(), v.encode()) for k, v in response.headers.items()]
    await reply(send, response.status_code or 500, _JSON, response.content, headers)


async def reply(
    send: Send, status: int, media: bytes, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A whole reply; header names in lower case."""
    await reply_with(send, status, [(b"content-type", media), *headers], body)


async def reply_with(
    send: Send, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    """A whole reply with these headers and the length of its body."""
    kept = [one for one in headers if one[0] != b"content-length"]
    kept.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": kept})
    await send({"type": "http.response.body", "body": body, "more_body": False})

"""Requests and answers below the framework: for layers that stand before the router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.api.errors import ApiError, refusal
from app.api.request import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Collection

    from litestar.types import HTTPScope, Receive, ReceiveMessage, Send


async def read_body(receive: Receive) -> bytes:
    """A request's whole body.

    Raises:
        ApiError: it ended early, or is too large.
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
    headers.append((b"content-type", b"application/json"))
    await reply(send, response.status_code or 500, headers, response.content)


async def reply(
    send: Send, status: int, headers: Collection[tuple[bytes, bytes]], body: bytes
) -> None:
    """Send an answer in one piece; its length is counted here."""
    kept = [one for one in headers if one[0] != b"content-length"]
    kept.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": kept})
    await send({"type": "http.response.body", "body": body, "more_body": False})

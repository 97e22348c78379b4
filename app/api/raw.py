"""Requests and replies past the framework, for routes where its own work would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar.types import Receive, Send


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


async def reply(
    send: Send, status: int, media: bytes, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A whole reply; header names in lower case."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})

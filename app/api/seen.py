"""Between the gate and the routes: what a client has seen elsewhere is awaited here first.

A write answers with a token that names it. A request that hands one in runs once this node has
what it names, so that an agent may write at one node and read, or change, at another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from litestar.enums import ScopeType

from app.api.errors import ApiError
from app.api.raw import refuse
from app.log.causal import read_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import ASGIApp, Receive, Scope, Send

    from app.log.cursor import VectorClock

TOKEN_HEADER: Final = b"x-ai-memory-token"
RETRY_AFTER_SECONDS: Final = 1


class Arrivals(Protocol):
    """Where entries of other nodes arrive: the mesh."""

    async def missing(self, seen: VectorClock) -> Mapping[str, int]:
        """Wait for entries; what of them did not come in time."""
        ...


class Seen:
    """Answers 412 rather than with less than the client has seen."""

    def __init__(self, app: ASGIApp, arrivals: Arrivals) -> None:
        self._app = app
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            text = next((value for name, value in scope["headers"] if name == TOKEN_HEADER), None)
            seen = None if text is None else read_token(text.decode("latin-1"))
            missing = {} if seen is None else await self._arrivals.missing(seen)
            if missing:
                await refuse(scope, send, _not_seen(missing))
                return
        await self._app(scope, receive, send)


def _not_seen(missing: Mapping[str, int]) -> ApiError:
    return ApiError(
        412,
        "this node does not have yet what the token names",
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
        code="NOT_SEEN_YET",
        retry_after=RETRY_AFTER_SECONDS,
        known=dict(missing),
    )

"""Asking a peer: one message there, one back, with a patience that fits the size."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from app.domain.timestamps import epoch_milliseconds
from app.replication.messages import (
    MalformedMessageError,
    Message,
    decode_message,
    encode_message,
)
from app.replication.ports import Failure, PeerCallError

if TYPE_CHECKING:
    from app.domain.sources import Clock
    from app.replication.messages import Method
    from app.replication.peer import Peer
    from app.replication.ports import Transport

SLOWEST_BYTES_A_SECOND: Final = 64 * 1024
"""A link slower than this is no link: beyond it a call's patience does not grow with its size."""

M = TypeVar("M", bound=Message)


class Line:
    """Calls to one peer."""

    def __init__(
        self, transport: Transport, peer: Peer, clock: Clock, timeout_seconds: float
    ) -> None:
        self._transport = transport
        self._peer = peer
        self._clock = clock
        self._timeout = timeout_seconds

    async def ask(
        self, method: Method, message: Message, answer: type[M], *, answer_bytes: int = 0
    ) -> M:
        """Send a message, wait for its answer; `answer_bytes` is how large that may be.

        Raises:
            PeerCallError: no answer, a refusal, or an answer that is none.
        """
        body = encode_message(message)
        patience = self._timeout + (len(body) + answer_bytes) / SLOWEST_BYTES_A_SECOND
        loop = asyncio.get_running_loop()
        sent = loop.time()
        raw = await self._transport.call(method, body, patience)
        try:
            found = decode_message(answer, raw)
        except MalformedMessageError as error:
            raise PeerCallError(Failure.INCOMPATIBLE, str(error)) from error
        now_ms = getattr(found, "now_ms", None)
        if now_ms is not None:
            mine = epoch_milliseconds(self._clock.now())
            self._peer.timed(mine, now_ms, sent, loop.time())
        return found

    async def close(self) -> None:
        """Let go of the connection."""
        await self._transport.close()

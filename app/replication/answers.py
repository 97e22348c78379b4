"""The answering side: who asks is checked first, then what."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from app.domain.timestamps import epoch_milliseconds
from app.log.quarantine import RefusalCode
from app.replication.hello import flaw_of
from app.replication.here import node_of
from app.replication.messages import (
    PROTOCOL,
    Ack,
    Append,
    Hello,
    Method,
    Page,
    Pull,
    decode_message,
    encode_message,
    pack_run,
)
from app.replication.outbox import with_holes
from app.replication.ports import UntrustedPeerError
from app.store.replica import LogTruncatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from app.domain.sources import Clock
    from app.log.entry import Entry
    from app.replication.gossip import Gossip
    from app.replication.guard import OriginGuard
    from app.replication.hello import Introductions
    from app.replication.here import Here
    from app.replication.messages import Message, Run
    from app.replication.outbox import Outbox
    from app.replication.ports import Caller, Trust
    from app.replication.receiver import Receiver
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

    Handler = Callable[[str, bytes], Awaitable[Message]]
    """Answers a node's request; its body is not decoded yet."""

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""No page is larger, whatever is asked, unless one entry alone is."""
_SHARE_BYTES_MIN: Final = 16 * 1024


A = TypeVar("A", bound="Message")


class UnknownMethodError(Exception):
    """Nobody here answers this."""


def decode_request(kind: type[A], body: bytes, node_id: str) -> A:
    """A request of a node that is who it says.

    Raises:
        UntrustedPeerError: it says to be another one.
        MalformedMessageError: it is no such request.
    """
    message = decode_message(kind, body)
    says = getattr(message, "node_id", None)
    if says != node_id:
        raise UntrustedPeerError("node_id_mismatch", f"node {node_id} speaks as {says}")
    return message


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """What answering needs."""

    store: Store
    here: Here
    outbox: Outbox
    receiver: Receiver
    guard: OriginGuard
    introductions: Introductions
    gossip: Gossip
    trust: Trust
    scopes: Scopes
    clock: Clock
    called: Callable[[str, Method], None]
    """Told of every call by a known node."""
    heard: Callable[[str, Mapping[str, int]], None]
    """Told of a node's own clock."""


class Answers:
    """What peers may ask of this node."""

    def __init__(self, parts: AnswerParts) -> None:
        self._parts = parts
        self._handlers: dict[Method, Handler] = {
            Method.APPEND: self._append,
            Method.LOG: self._log,
        }
        self.is_closed = False
        """Whether this node has left the fleet and answers nobody."""

    def add(self, method: Method, handler: Handler) -> None:
        """Answer one more method."""
        self._handlers[method] = handler

    async def answer(self, method: Method, body: bytes, caller: Caller) -> bytes:
        """The answer's bytes.

        Raises:
            UntrustedPeerError: the caller is not known, or not who the request says.
            MalformedMessageError: the body is not the method's request.
            UnknownMethodError: nobody answers it.
            AiMemoryError: the store cannot answer now.
        """
        if self.is_closed:
            raise UntrustedPeerError("left", "this node has left the fleet")
        if method is Method.HELLO:
            return encode_message(await self._hello(body, caller))
        handler = self._handlers.get(method)
        if handler is None:
            raise UnknownMethodError(method)
        node_id = self._parts.trust.node_of(caller)
        self._parts.gossip.called(node_id, asyncio.get_running_loop().time())
        self._parts.called(node_id, method)
        return encode_message(await handler(node_id, body))

    async def _hello(self, body: bytes, caller: Caller) -> Hello:
        parts = self._parts
        hello = decode_message(Hello, body)
        if hello.protocol == PROTOCOL:  # if not, our answer tells it so
            flaw = flaw_of(hello)
            if flaw is not None or hello.node_id == parts.here.node_id:
                raise UntrustedPeerError("identity_refused", flaw or "this is this node's own id")
            parts.trust.admit(caller, hello.node_id, hello.public_key, hello.identity)
            parts.gossip.called(hello.node_id, asyncio.get_running_loop().time())
            parts.gossip.introduced(hello.node_id, hello.model)
            parts.gossip.told(hello.cursors)
            await parts.guard.compare(hello.clock)
            parts.heard(hello.node_id, hello.clock)
            parts.called(hello.node_id, Method.HELLO)
        return await parts.introductions.make(parts.gossip.cursors, asker=hello.node_id)

    async def _append(self, node_id: str, body: bytes) -> Ack:
        parts = self._parts
        message = decode_request(Append, body, node_id)
        taken = await parts.receiver.take(message.runs, node_id)
        if any(
            one.code == RefusalCode.FORK and one.origin == parts.here.origin
            for one in taken.refused
        ):
            await parts.guard.forked(parts.here.origin)
        if message.clock is not None:
            await parts.guard.compare(message.clock)
            parts.heard(node_id, message.clock)
        if message.cursors is not None:
            parts.gossip.told(message.cursors)
        return Ack(
            node_id=parts.here.node_id,
            now_ms=epoch_milliseconds(parts.clock.now()),
            decided_up_to=taken.decided_up_to,
            clock=dict(parts.here.clock),
            refused=taken.refused,
        )

    async def _log(self, node_id: str, body: bytes) -> Page:
        parts = self._parts
        message = decode_request(Pull, body, node_id)
        origins = list(parts.here.clock) if message.origins is None else message.origins
        lacking = [one for one in origins if parts.here[one] > message.after.get(one, 0)]
        left = min(message.max_bytes, PAGE_BYTES_MAX)
        runs: list[Run] = []
        truncated: dict[str, int] = {}
        now = asyncio.get_running_loop().time()
        for place, origin in enumerate(lacking):
            if left <= 0:
                break
            if node_of(origin) != parts.here.node_id:
                parts.gossip.relies(node_id, origin, now)
            # No origin starves another: each gets its share of what is left.
            share = max(_SHARE_BYTES_MIN, left // (len(lacking) - place))
            try:
                found = await self._read(origin, message.after.get(origin, 0), share)
            except LogTruncatedError:
                truncated[origin] = await self._floor(origin)
                continue
            if found is None:
                continue
            run, entries = found
            left -= sum(len(one.header) + len(one.payload or b"") for one in entries)
            if parts.scopes.is_limited(node_id):
                run, _ = await with_holes(run, entries, parts.scopes, node_id, parts.store)
            runs.append(run)
        ends = {run.origin: run.after + len(run.entries) for run in runs}
        more = any(
            parts.here[one] > ends.get(one, message.after.get(one, 0))
            for one in lacking
            if one not in truncated
        )
        return Page(clock=dict(parts.here.clock), runs=runs, more=more, truncated=truncated)

    async def _read(
        self, origin: str, after: int, max_bytes: int
    ) -> tuple[Run, Sequence[Entry]] | None:
        parts = self._parts
        if node_of(origin) == parts.here.node_id:
            parcel = await parts.outbox.after(origin, after, max_bytes)
            return None if parcel is None else (parcel.run, parcel.entries)
        found = await parts.store.log_run(origin, after, max_bytes)
        if found is None:
            return None
        run = pack_run(origin, found.after, found.after_hash, found.entries, found.signature)
        return run, found.entries

    async def _floor(self, origin: str) -> int:
        heads = await self._parts.store.heads()
        return next((one.floor for one in heads if one.origin == origin), 0)

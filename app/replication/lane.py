"""One configured peer: hello, then its missing part of our own entries, batch after batch.

One batch is in flight at a time, and the next one is what was committed meanwhile. So pushes grow
with the load, a lone writer waits for nobody, and acks come in order. A peer that was away costs
nothing but a number: where its copy of our log ends.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from app.domain.errors import AiMemoryError
from app.domain.timestamps import epoch_milliseconds
from app.log.quarantine import RefusalCode
from app.replication.backoff import Backoff
from app.replication.here import node_of
from app.replication.line import Line
from app.replication.messages import Ack, Append, Hello, Method
from app.replication.outbox import with_holes
from app.replication.peer import Peer
from app.replication.ports import Failure, PeerCallError
from app.replication.quorum import Reach
from app.replication.v070.lane import Progress, V070Lane
from app.replication.waiting import Bell
from app.store.replica import LogTruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from app.domain.sources import Clock, Randomness
    from app.replication.copies import Copies
    from app.replication.gossip import Gossip
    from app.replication.guard import OriginGuard
    from app.replication.hello import Introductions
    from app.replication.here import Here
    from app.replication.messages import Run, WireHead
    from app.replication.options import MeshOptions
    from app.replication.outbox import Outbox, Parcel
    from app.replication.ports import Transport
    from app.replication.quorum import Quorum
    from app.replication.scopes import Scopes
    from app.replication.v070.peer import OldPeer
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

NEWS_SECONDS: Final = 1.0
"""How long a peer may lag behind with others' entries before we tell it what we have."""
RELAYED_NEWS_SECONDS: Final = 0.05
"""The same for a peer that has them from us."""
CONTACT_SECONDS: Final = 0.25
"""A peer that calls us ends our wait, but not sooner than this after a failure."""
_OTHER_HISTORY: Final = frozenset({RefusalCode.FORK.value, RefusalCode.BROKEN_CHAIN.value})


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What lanes share."""

    options: MeshOptions
    store: Store
    here: Here
    outbox: Outbox
    quorum: Quorum
    copies: Copies
    guard: OriginGuard
    introductions: Introductions
    gossip: Gossip
    scopes: Scopes
    clock: Clock
    chance: Randomness
    heard: Callable[[], None]
    """Called when a peer's clock may be news."""
    turned: Callable[[], None]
    """Called when a lane came up or went down."""
    is_muted: Callable[[Lane], bool]
    """Whether another lane, or nobody at all, should push to this peer's store."""
    old: Callable[[str], AbstractAsyncContextManager[OldPeer]] | None = None
    """Opens a peer of v0.7.0 by its address."""


@dataclass(slots=True)
class Pushed:
    """Counts since the start."""

    batches: int = 0
    entries: int = 0
    bytes: int = 0
    failures: int = 0


class Block(StrEnum):
    """Why a peer cannot take an own origin from us, as operators read it."""

    PEER_AHEAD = "the peer has more of it than this node"
    OTHER_HISTORY = "the peer has other entries under its numbers"
    BEHIND_LOG = "the peer lacks entries that are no longer kept here"


class Lane:
    """The way to one peer."""

    def __init__(self, transport: Transport, parts: LaneParts) -> None:
        self._parts = parts
        self.peer = Peer(transport.url)
        self.line = Line(transport, self.peer, parts.clock, parts.options.timeout_seconds)
        self.counts = Pushed()
        self.tried = asyncio.Event()
        """Set once the first attempt has ended, however it did."""
        self.reach = Reach.TRYING
        self.sent: dict[str, int] = {}
        """Own origin → where the peer's copy ends, by its own word and checked by hash."""
        self.blocked: dict[str, Block] = {}
        """Own origins that this peer cannot take from us, and why."""
        self._old = Progress(self.sent, self.counts)
        self._bell = Bell()
        self._contact = Bell()
        self._backoff = Backoff(parts.chance)
        self._budget = parts.options.batch_bytes
        self._had_company = False
        self._was_good = False
        self._failed_at = 0.0
        self._sent_at = 0.0
        self._told: Mapping[str, int] | None = None

    @property
    def url(self) -> str:
        """The address, which is the lane's name."""
        return self.peer.url

    def news(self) -> None:
        """Something was committed here."""
        self._bell.ring()

    def contacted(self, method: Method) -> None:
        """The peer, or somebody unknown who may be it, called us: it may be reachable again."""
        if not self.reach.is_lost:
            return
        now = asyncio.get_running_loop().time()
        if method is Method.HELLO or now - self._failed_at >= CONTACT_SECONDS:
            self._contact.ring()

    async def run(self) -> None:
        """Keep the peer supplied, for ever."""
        while True:
            error = await self._talk()
            if self._may_be_stale(error):
                continue
            pause = self._failed(error)
            self.tried.set()
            await self._contact.wait(pause)

    def _may_be_stale(self, error: PeerCallError) -> bool:
        """Whether to try again before anybody is told: once, where a connection was good so far.

        Connections that were kept open end for harmless reasons, and so does a node at its address.
        """
        is_first = self.reach is Reach.UP and self._was_good
        self._was_good = False
        return is_first and error.failure is Failure.UNREACHABLE

    async def _talk(self) -> PeerCallError:
        """Talk to the peer until that fails."""
        try:
            while not await self._is_greeted():
                pass  # of v0.7.0, and it may have become one of this release meanwhile
            while True:
                await self._step()
        except PeerCallError as error:
            return error
        except AiMemoryError as error:
            return PeerCallError(Failure.THROTTLED, f"here: {error.message}")
        except Exception as error:  # outermost frame of the lane: it must live on
            _LOGGER.exception("the lane to %s failed unexpectedly", self.url)
            return PeerCallError(Failure.THROTTLED, f"here: {error!r}")

    def is_drained(self) -> bool:
        """Whether nothing of ours is left to send that this peer could take now."""
        parts = self._parts
        return self.reach is not Reach.UP or all(
            self.sent.get(origin, 0) >= parts.here[origin] or origin in self.blocked
            for origin in parts.here.own_origins()
        )

    # -- hello -----------------------------------------------------------------------------

    async def _is_greeted(self) -> bool:
        """Say hello; with a v0.7.0 node, which knows no such word, talk as it does instead.

        Raises:
            PeerCallError: a call failed.
        """
        try:
            await self._greet()
        except PeerCallError as error:
            if self._parts.old is None or error.status != HTTPStatus.NOT_FOUND:
                raise
        else:
            return True
        async with self._parts.old(self.url) as old:
            lane = V070Lane(old.peer, old.position, self._parts, self._old)
            await lane.talk(self._bell, self._is_up)
        return False

    def _is_up(self) -> None:
        self._backoff.succeeded()
        self._turn(Reach.UP)
        self.tried.set()

    async def _greet(self) -> None:
        parts, peer = self._parts, self.peer
        mine = await parts.introductions.make(parts.gossip.cursors)
        told = parts.here.clock
        hello = await self.line.ask(Method.HELLO, mine, Hello)
        parts.introductions.check_answer(hello)
        peer.introduced(hello)
        parts.gossip.introduced(hello.node_id, hello.model)
        self._budget = parts.options.batch_bytes
        self._told, self._sent_at = told, asyncio.get_running_loop().time()
        self.sent.clear()
        self.blocked.clear()
        await parts.guard.compare(hello.clock)
        for head in hello.heads:
            if node_of(head.origin) == parts.here.node_id:
                await self._align(head)
        for refused in hello.refused:
            parts.copies.settle(parts.quorum.refused(self.url, refused.origin, [refused.seq]))
        parts.gossip.told(hello.cursors)
        self._heard(hello.clock)
        parts.copies.settle(parts.quorum.found(self.url, hello.store_id))
        self._turn(Reach.UP)  # before its marks: what it lost it may get again
        parts.copies.settle(parts.quorum.acked(self.url, self._marks()))
        self.tried.set()

    def _marks(self) -> list[tuple[str, int]]:
        return [(one, self.sent.get(one, 0)) for one in self._parts.here.own_origins()]

    async def _align(self, head: WireHead) -> None:
        """Find out whether the peer's copy of an own origin is of the history that is here."""
        parts, origin = self._parts, head.origin
        ends = {one.origin: one for one in await parts.store.heads()}
        end = ends.get(origin)
        if end is None or head.seq > end.seq:
            self.blocked[origin] = Block.PEER_AHEAD
            return
        try:
            if head.seq == end.seq:
                here = end.hash
            else:
                run = await parts.store.log_run(origin, head.seq, 1)
                here = b"" if run is None else run.after_hash
        except LogTruncatedError:
            self.blocked[origin] = Block.BEHIND_LOG
            return
        if here == head.hash:
            self.sent[origin] = head.seq
        else:
            await self._fork(origin)

    async def _fork(self, origin: str) -> None:
        self.blocked[origin] = Block.OTHER_HISTORY
        if await self._parts.guard.forked(origin):
            self._parts.outbox.news()

    # -- pushing ---------------------------------------------------------------------------

    async def _step(self) -> None:
        parcels = [] if self._parts.is_muted(self) else await self._collect()
        now = asyncio.get_running_loop().time()
        sign_at = self._sign_at()
        if parcels or sign_at <= now:
            await self._send(parcels)
        elif await self._bell.wait(sign_at - now) and self._had_company:
            # Where the last batch carried several writers' entries, more are on their way.
            await asyncio.sleep(self._parts.options.batch_seconds)

    def _sign_at(self) -> float:
        """When to speak even without entries: as a sign of life, or to tell what we have."""
        parts, told = self._parts, self._told
        at = self._sent_at + parts.options.life_seconds
        clock = parts.here.clock
        if told is clock:
            return at
        now = asyncio.get_running_loop().time()
        node, theirs = self.peer.node_id or "", self.peer.clock
        for origin, seq in clock.items():
            if seq > theirs.get(origin, 0) and node_of(origin) not in {node, parts.here.node_id}:
                relayed = parts.gossip.is_relay(node, origin, now)
                pause = RELAYED_NEWS_SECONDS if relayed else NEWS_SECONDS
                at = min(at, self._sent_at + pause)
        return at

    async def _collect(self) -> list[Parcel]:
        parts, found, left = self._parts, [], self._budget
        for origin in parts.here.own_origins():
            sent = self.sent.get(origin, 0)
            is_current = origin == parts.here.origin
            if origin in self.blocked or (not is_current and parts.here[origin] <= sent):
                continue
            try:
                parcel = await parts.outbox.after(origin, sent, left)
            except LogTruncatedError:
                self.blocked[origin] = Block.BEHIND_LOG
                continue
            if parcel is not None:
                found.append(parcel)
                left -= parcel.bytes
                if left <= 0:
                    break
        return found

    async def _send(self, parcels: Sequence[Parcel]) -> None:
        parts = self._parts
        clock = parts.here.clock
        is_sign = not parcels
        message = Append(
            node_id=parts.here.node_id,
            now_ms=epoch_milliseconds(parts.clock.now()),
            runs=[await self._addressed(one) for one in parcels],
            clock=dict(clock) if is_sign or self._is_news_due() else None,
            cursors={n: dict(c) for n, c in parts.gossip.cursors.items()} if is_sign else None,
        )
        try:
            ack = await self.line.ask(Method.APPEND, message, Ack)
        except PeerCallError as error:
            if error.failure is not Failure.TOO_LARGE:
                raise
            self._shrink(parcels, error)
            return
        if ack.node_id != self.peer.node_id:
            raise PeerCallError(
                Failure.UNREACHABLE, f"node {ack.node_id} answers where {self.peer.node_id} did"
            )
        self._sent_at = asyncio.get_running_loop().time()
        if message.clock is not None:
            self._told = clock
        self._backoff.succeeded()
        self._was_good = True
        self.counts.batches += not is_sign
        self.counts.entries += sum(len(one.entries) for one in parcels)
        self.counts.bytes += sum(one.bytes for one in parcels)
        self._had_company = sum(len(one.entries) for one in parcels) > 1
        self._heard(ack.clock)
        await self._settle(ack, parcels)

    def _is_news_due(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._told is not self._parts.here.clock and now - self._sent_at >= NEWS_SECONDS

    async def _addressed(self, parcel: Parcel) -> Run:
        """The run as this peer may see it; what is withheld counts for no quorum."""
        parts, node_id = self._parts, self.peer.node_id or ""
        if not parts.scopes.is_limited(node_id):
            return parcel.run
        run, holes = await with_holes(
            parcel.run, parcel.entries, parts.scopes, node_id, parts.store
        )
        parts.copies.settle(parts.quorum.refused(self.url, run.origin, holes))
        return run

    def _shrink(self, parcels: Sequence[Parcel], error: PeerCallError) -> None:
        """Send half as much next time.

        Raises:
            PeerCallError: one entry alone is too large for this peer.
        """
        size = sum(one.bytes for one in parcels)
        if sum(len(one.entries) for one in parcels) <= 1:
            raise PeerCallError(
                Failure.REFUSED, f"an entry of {size} bytes is too large for it: {error.detail}"
            )
        self._budget = max(1, min(self._budget, size) // 2)

    async def _settle(self, ack: Ack, parcels: Sequence[Parcel]) -> None:
        parts = self._parts
        codes: dict[str, str] = {}
        for refused in ack.refused:
            parts.copies.settle(parts.quorum.refused(self.url, refused.origin, [refused.seq]))
            if refused.seq > ack.decided_up_to.get(refused.origin, 0):
                codes[refused.origin] = refused.code
            if refused.code in _OTHER_HISTORY:
                await self._fork(refused.origin)
        marks = []
        stuck: tuple[str, str] | None = None
        for parcel in parcels:
            origin, first = parcel.run.origin, parcel.run.after
            if origin in self.blocked:
                continue
            # What lies beyond the run may be of anybody's history: it is not ours to count.
            mark = min(ack.decided_up_to.get(origin, 0), parcel.last)
            if mark == first:
                stuck = (origin, codes.get(origin, "it takes nothing"))
            self.sent[origin] = mark
            marks.append((origin, mark))
        parts.copies.settle(parts.quorum.acked(self.url, marks))
        if stuck is not None:
            raise PeerCallError(
                Failure.REFUSED if stuck[0] in codes else Failure.THROTTLED,
                f"{stuck[0]} does not go on after {self.sent[stuck[0]]}: {stuck[1]}",
            )

    # -- what became of it -----------------------------------------------------------------

    def _heard(self, clock: Mapping[str, int]) -> None:
        self.peer.clock = clock
        self.peer.watch_clock(self._parts.options.max_offset_ms)
        if self.peer.node_id is not None:
            self._parts.gossip.said(self.peer.node_id, clock)
        for origin in [one for one in self.blocked if clock.get(one, 0) > self.sent.get(one, 0)]:
            if self.blocked[origin] is Block.BEHIND_LOG:  # it took a snapshot meanwhile
                del self.blocked[origin]
                self.sent[origin] = min(clock[origin], self._parts.here[origin])
        self._parts.heard()

    def _failed(self, error: PeerCallError) -> float:
        """Note a failure; seconds until the next attempt."""
        self.counts.failures += 1
        self._failed_at = asyncio.get_running_loop().time()
        pause = self._backoff.failed(
            permanent=error.is_permanent, at_least=error.retry_after_seconds
        )
        level = logging.WARNING if self._backoff.failures in {1, 3} else logging.DEBUG
        _LOGGER.log(level, "peer %s: %s; next attempt in %.2f s", self.url, error, pause)
        self.peer.error = error
        self._turn(Reach.REFUSING if error.is_permanent else Reach.DOWN)
        return pause

    def _turn(self, reach: Reach) -> None:
        if reach is Reach.UP:
            self.peer.error = None
        parts = self._parts
        is_turn = reach is not self.reach
        self.reach = reach
        parts.copies.settle(parts.quorum.reached(self.url, reach))
        if is_turn:
            parts.turned()

"""The mesh as the rest of a node knows it. See DESIGN.md."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import epoch_milliseconds
from app.replication.answers import AnswerParts, Answers
from app.replication.comparing import Comparing
from app.replication.copies import Copies
from app.replication.durability import PeerOutcome
from app.replication.embedding import EmbeddingDuties
from app.replication.enduring import enduring
from app.replication.forgetting import Forgetting
from app.replication.gossip import Gossip
from app.replication.guard import OriginGuard
from app.replication.hello import Introductions, Speaker
from app.replication.here import Here
from app.replication.lane import Lane, LaneParts
from app.replication.membership import Membership, MembershipParts
from app.replication.messages import Method
from app.replication.outbox import Outbox
from app.replication.puller import Puller
from app.replication.quorum import Quorum, Reach
from app.replication.receiver import Receiver
from app.replication.scopes import EveryScope
from app.replication.scrubbing import Scrubbing
from app.replication.showing import Showing
from app.replication.snapshots import Snapshots
from app.replication.status import (
    QUARANTINE_COUNTED_MAX,
    MeshStatus,
    lack_status,
    peer_status,
)
from app.replication.truncating import Truncating
from app.replication.vectors import VectorFetching
from app.replication.waiting import Bell

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from app.domain.sources import Clock, Randomness
    from app.replication.durability import Outcome
    from app.replication.options import MeshOptions
    from app.replication.ports import Caller, NodeKey, Transport, Trust
    from app.replication.quorum import Wait
    from app.replication.scopes import Scopes
    from app.replication.v070.peer import OldPeer
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

FIRST_CONTACT_SECONDS: Final = 2.0
_REFRESH_SECONDS: Final = 0.05
"""At most so often are the ends of the logs read again after commits."""
_DRAIN_LOOK_SECONDS: Final = 0.01
_SAVE_SECONDS: Final = 30.0
_EVERY_SCOPE: Final = EveryScope()


@dataclass(frozen=True, slots=True)
class MeshParts:
    """What a mesh is made of; all of it is passed in, so that a simulation can pass its own."""

    options: MeshOptions
    store: Store
    transports: Sequence[Transport]
    """One for each of `options.peers`."""
    trust: Trust
    key: NodeKey
    clock: Clock
    chance: Randomness
    speaker: Speaker
    scopes: Scopes = _EVERY_SCOPE
    old: Callable[[str], AbstractAsyncContextManager[OldPeer]] | None = None
    """Opens a peer of v0.7.0; None if there may be none."""


class Mesh:
    """This node's part of the mesh."""

    def __init__(self, parts: MeshParts) -> None:
        self.options = parts.options
        self._parts = parts
        store = parts.store
        self.here = Here(store)
        self.quorum = Quorum(store.store_id)
        self.copies = Copies(self.quorum, parts.options.timeout_seconds, self._describe)
        self.gossip = Gossip(self._latest_ms)
        self.guard = OriginGuard(store, self.here)
        self.outbox = Outbox(store, self.here, parts.key)
        self.receiver = Receiver(store, self.here, parts.trust, parts.key, parts.scopes)
        self.lanes: dict[str, Lane] = {}
        self.puller = Puller(
            parts.options, store, self.here, self.receiver, self.gossip, self.lanes
        )
        introductions = Introductions(
            parts.speaker, store, self.here, parts.key, parts.trust, parts.clock
        )
        self._lane_parts = LaneParts(
            options=parts.options,
            store=store,
            here=self.here,
            outbox=self.outbox,
            quorum=self.quorum,
            copies=self.copies,
            guard=self.guard,
            introductions=introductions,
            gossip=self.gossip,
            scopes=parts.scopes,
            clock=parts.clock,
            chance=parts.chance,
            heard=self.puller.look,
            turned=self._ring_lanes,
            is_muted=self._is_muted,
            old=parts.old,
        )
        self.membership = self._make_membership()
        self.truncating = Truncating(
            parts.options, store, self.gossip, self.membership, parts.clock
        )
        self.forgetting = Forgetting(
            parts.options, store, self.here, self.gossip, self.membership, parts.clock
        )
        self.answers = Answers(
            AnswerParts(
                store=store,
                here=self.here,
                outbox=self.outbox,
                receiver=self.receiver,
                guard=self.guard,
                introductions=introductions,
                gossip=self.gossip,
                trust=parts.trust,
                scopes=parts.scopes,
                clock=parts.clock,
                called=self._called,
                heard=self._heard,
            )
        )
        Showing(store, parts.scopes).join(self.answers)
        self.comparing = Comparing(
            parts.options.catchup_seconds, store, self.here, parts.scopes, self.lanes
        )
        self.receiver.holed = self.comparing.holed
        self.snapshots = Snapshots(store, self.here, self.puller, parts.scopes, self.lanes)
        self.scrubbing = Scrubbing(store, self.here, parts.scopes, self.lanes)
        self.duties, self.vectors = self._make_embedding()
        self._stale = Bell()
        self._tasks: list[asyncio.Task[None]] = []
        self._lane_tasks: dict[str, asyncio.Task[None]] = {}

    # -- life ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to talk to peers.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        store = self._parts.store
        await self.here.refresh()
        self.gossip.own = self.here.node_id
        await self.gossip.load(store)
        await self.membership.refresh()
        store.watch_log(self._news)
        self._run("mesh-ends", self._keep_ends())
        self._run("mesh-cursors", self._keep_cursors())
        self._run("mesh-pull", self.puller.run())
        self._run("mesh-compare", self.comparing.run())
        self._run("mesh-snapshot", self.snapshots.run())
        self._run("mesh-scrub", self.scrubbing.run())
        self._run("mesh-members", self.membership.run())
        self._run("mesh-truncate", self.truncating.run())
        self._run("mesh-forget", self.forgetting.run())
        for transport in self._parts.transports:
            self._add(transport)
        self._run("mesh-duties", self.duties.run())
        self._run("mesh-vectors", self.vectors.run())

    async def first_contact(self, seconds: float = FIRST_CONTACT_SECONDS) -> None:
        """Wait until every peer was tried once; a refused connection ends its part at once.

        So an origin that was used up elsewhere is known before the first write.
        """
        tried = [asyncio.create_task(lane.tried.wait()) for lane in self.lanes.values()]
        if tried:
            _, silent = await asyncio.wait(tried, timeout=seconds)
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)

    async def stop(self, drain_seconds: float | None = None) -> None:
        """Hand what is committed to the peers that can take it, then end every lane."""
        await self._drain(self.options.timeout_seconds if drain_seconds is None else drain_seconds)
        await self.abort()
        with enduring(_LOGGER, "how far peers have come is not saved"):
            await self.gossip.save(self._parts.store)

    async def abort(self) -> None:
        """End every lane at once; peers catch up with what they lack when we are back."""
        tasks = [*self._tasks, *self._lane_tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._lane_tasks.clear()
        self.copies.stop()
        for lane in self.lanes.values():
            await lane.line.close()

    async def set_peers(self, transports: Sequence[Transport]) -> None:
        """Talk to these peers from now on; lanes to those that stay go on as they are.

        Raises:
            MeshOptionsError: there would be fewer nodes than copies asked for; nothing changed.
        """
        if not self.membership.has_left:
            await self._use_peers(transports)

    async def _use_peers(self, transports: Sequence[Transport]) -> None:
        urls = [one.url for one in transports]
        self.options = replace(self.options, peers=tuple(urls))
        for url in [one for one in self.lanes if one not in urls]:
            task, lane = self._lane_tasks.pop(url), self.lanes.pop(url)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await lane.line.close()
            self.copies.settle(self.quorum.leave(url))
        for transport in transports:
            if transport.url not in self.lanes:
                self._add(transport)
        self._ring_lanes()

    async def leave(self) -> None:
        """Leave the fleet: say so, hand over what is committed, and end every lane until restarted.

        Writes wait for nobody from then on, and peers that call are refused.

        Raises:
            StoreUnavailableError: nothing was left.
        """
        await self.membership.leave()
        await self._drain(self.options.timeout_seconds)
        self.answers.is_closed = True
        self.options = replace(self.options, writes=0, durability=None)
        await self._use_peers([])

    def trust_changed(self) -> None:
        """Somebody decided anew whom to trust, or who we are: try the peers that are lost now."""
        for lane in self.lanes.values():
            lane.contacted(Method.HELLO)

    # -- what the node asks ----------------------------------------------------------------

    @property
    def nodes(self) -> int:
        """N: this node and its configured peers."""
        return self.options.nodes

    @property
    def default_needed(self) -> int:
        """Copies that a write needs when its request asks for nothing, at least 1."""
        return self.options.needed

    async def wait(self, origin: str, seqs: Collection[int], needed: int) -> Outcome:
        """Wait until entries of this node, committed here, are durable on `needed` stores.

        Ends as soon as it is certain either way, and after the configured timeout at the latest.
        """
        return await self.copies.wait(origin, seqs, needed)

    async def reached(self, clock: Mapping[str, int]) -> bool:
        """Wait for these entries as long as a write waits for its copies; whether they are here."""
        return await self.here.reached(clock, self.options.timeout_seconds)

    async def answer(self, method: Method, body: bytes, caller: Caller) -> bytes:
        """Answer a peer. See `Answers.answer` for what it raises."""
        return await self.answers.answer(method, body, caller)

    async def status(self) -> MeshStatus:
        """The mesh as it is seen from here."""
        store = self._parts.store
        now = asyncio.get_running_loop().time()
        now_ms = epoch_milliseconds(self._parts.clock.now())
        await self.here.refresh()
        await self.membership.refresh()
        rows = await store.quarantined(QUARANTINE_COUNTED_MAX)
        return MeshStatus(
            node_id=self.here.node_id,
            origin=self.here.origin,
            identity=self.options.identity,
            nodes=self.nodes,
            needed=self.default_needed,
            clock=dict(self.here.clock),
            max_offset_ms=self.options.max_offset_ms,
            peers=[
                await peer_status(
                    lane, self.here, store, self.comparing.of(lane.url), now=now, now_ms=now_ms
                )
                for lane in self.lanes.values()
            ],
            lacks=[
                lack_status(origin, lack, self.here, now)
                for origin, lack in self.puller.lacks.items()
            ],
            truncated=dict(self.puller.beyond()),
            quarantined=await store.quarantined_count(),
            quarantine_codes=Counter(one.code for one in rows),
            waiting_writes=sum(1 for _ in self.quorum.open_waits()),
            renewals=self.guard.renewals,
            received=replace(self.receiver.counts),
            pulled=replace(self.puller.counts),
            repaired=replace(self.comparing.counts),
            snapshots=replace(self.snapshots.counts),
            scrubbed=replace(self.scrubbing.counts),
            fetched=replace(self.vectors.counts),
            members=self.membership.status(),
            warnings=self.membership.warnings(),
            log_truncated=replace(self.truncating.counts),
            forgotten=replace(self.forgetting.counts),
        )

    # -- inside ----------------------------------------------------------------------------

    def _make_embedding(self) -> tuple[EmbeddingDuties, VectorFetching]:
        parts, model = self._parts, self._parts.speaker.model
        duties = EmbeddingDuties(
            model,
            parts.options.takeover_seconds,
            parts.store,
            self.here,
            self.gossip,
            parts.scopes,
            self.lanes,
        )
        return duties, VectorFetching(
            model, duties, parts.store, self.here, parts.scopes, self.lanes
        )

    def _make_membership(self) -> Membership:
        return Membership(
            MembershipParts(
                options=self.options,
                store=self._parts.store,
                here=self.here,
                gossip=self.gossip,
                puller=self.puller,
                key=self._parts.key,
                clock=self._parts.clock,
                lanes=self.lanes,
            )
        )

    def _add(self, transport: Transport) -> None:
        lane = Lane(transport, self._lane_parts)
        self.lanes[lane.url] = lane
        self.quorum.join(lane.url)
        task = asyncio.create_task(lane.run(), name=f"lane {lane.url}")
        self._lane_tasks[lane.url] = task

    def _run(self, name: str, loop: Coroutine[object, object, None]) -> None:
        self._tasks.append(asyncio.create_task(loop, name=name))

    def _news(self) -> None:
        """The store committed entries, ours or others'."""
        self.outbox.news()
        self._stale.ring()
        self._ring_lanes()

    def _ring_lanes(self) -> None:
        for lane in self.lanes.values():
            lane.news()

    def _latest_ms(self) -> int:
        return epoch_milliseconds(self._parts.clock.now()) + self.options.max_offset_ms

    def _is_muted(self, lane: Lane) -> bool:
        """One lane pushes to a store, and none to our own."""
        store_id = lane.peer.store_id
        if store_id is None or store_id == self._parts.store.store_id:
            return True
        first = next(
            one
            for one in self.lanes.values()
            if one is lane or (one.reach is Reach.UP and one.peer.store_id == store_id)
        )
        return first is not lane

    def _called(self, node_id: str, method: Method) -> None:
        for lane in self.lanes.values():
            if lane.peer.node_id in {None, node_id}:
                lane.contacted(method)

    def _heard(self, node_id: str, clock: Mapping[str, int]) -> None:
        self.gossip.said(node_id, clock)
        for lane in self.lanes.values():
            if lane.peer.node_id == node_id:
                lane.peer.clock = clock
        self.puller.look()

    async def _keep_ends(self) -> None:
        while True:
            await self._stale.wait()
            with enduring(_LOGGER, "the ends of the logs are not known"):
                before = self.here.clock
                await self.here.refresh()
                if self.here.clock is not before:
                    self._ring_lanes()
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _keep_cursors(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            with enduring(_LOGGER, "how far peers have come is not saved"):
                await self.gossip.save(self._parts.store)

    async def _drain(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        await self.here.refresh()
        self._ring_lanes()
        lanes = self.lanes.values()
        while loop.time() < deadline and not all(one.is_drained() for one in lanes):  # noqa: ASYNC110 - any of many acks may be the last
            await asyncio.sleep(_DRAIN_LOOK_SECONDS)

    def _describe(self, wait: Wait, began: float) -> tuple[PeerOutcome, ...]:
        """What each peer did about a write that was missed."""
        loop = asyncio.get_running_loop()
        ms = round((loop.time() - began) * 1000)
        found = []
        for holder in self.quorum.holders:
            lane = self.lanes.get(holder.name)
            error = None if lane is None else lane.peer.error
            if holder.refuses(wait):
                status, detail = "refused", "it keeps the entry apart, or may not read it"
            elif holder.holds(wait):
                status, detail = "acked", None
            elif error is not None:
                status, detail = error.failure.value, error.detail
            else:
                status, detail = "waiting", None
            found.append(PeerOutcome(holder.name, status, detail, ms))
        return tuple(found)

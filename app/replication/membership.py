"""Who belongs to the fleet: said by each node of itself, and of silent ones by the lowest live one.

Whoever is a member holds back the truncation of logs and the dropping of tombstones until it has
what they say. So a node joins once somebody of its kind is in touch with it, and one that was
silent beyond the horizon is expired. When that one is back it first hands over what it wrote alone
and takes what it lacks, and only then says again that it has joined.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from app.domain.timestamps import epoch_milliseconds, parse_instant
from app.log import drafts
from app.log.kinds.member import EXPIRED, JOINED, LEFT
from app.replication.enduring import enduring
from app.replication.quorum import Reach
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.domain.sources import Clock
    from app.log.canonical import Value
    from app.log.entry import Draft
    from app.replication.gossip import Gossip
    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.options import MeshOptions
    from app.replication.ports import NodeKey
    from app.replication.puller import Puller
    from app.store.protocol import MemberRow, Store, View

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Say:
    """Append one entry of the fleet's own."""

    draft: Draft

    @property
    def needs(self) -> Needs:
        """Nothing."""
        return Needs()

    def decide(self, view: View) -> Decided[None]:
        """Whatever the state is."""
        del view
        return Decided(lambda _: None, [self.draft])


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A node of the fleet as operators see it."""

    node_id: str
    state: str
    since: str
    identity: str | None
    is_self: bool
    silent_seconds: float | None
    """Since anybody heard of it; None for this node and where that is not known."""


@dataclass(frozen=True, slots=True)
class MembershipParts:
    """What membership is decided from."""

    options: MeshOptions
    store: Store
    here: Here
    gossip: Gossip
    puller: Puller
    key: NodeKey
    clock: Clock
    lanes: Mapping[str, Lane]
    """Looked at anew each time."""


@dataclass(slots=True)
class Membership:
    """This node's membership, and its word on others'."""

    parts: MembershipParts
    has_left: bool = field(default=False, init=False)
    """Whether it left in this run: it stays away then."""
    rows: Mapping[str, MemberRow] = field(default_factory=dict, init=False)
    """Node id → what is stored, as of the last look."""
    expired: int = field(default=0, init=False)
    """Members that this node declared expired since the start."""
    _looked_at: float = field(default=0.0, init=False)

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(self.parts.options.members_seconds)
            with enduring(_LOGGER, "the membership is not looked after"):
                await self.look()

    async def look(self) -> None:
        """Note who is in touch, join if it is time to, and expire whoever was silent too long.

        Raises:
            StoreUnavailableError: the store cannot be read or written.
        """
        self._note_contacts()
        await self.refresh()
        if self.has_left:
            return
        if self._is_to_join():
            await self._declare(self.parts.here.node_id, JOINED, self._own_detail())
        elif self.is_in_charge():
            for row in list(self._others()):
                if self.silence_of(row) > self.parts.options.horizon_seconds:
                    await self._expire(row)

    async def refresh(self) -> None:
        """Read the members anew."""
        self.rows = {one.node_id: one for one in await self.parts.store.members()}

    async def leave(self) -> None:
        """Say that this node has left, unless it never joined. It stays away until its next start.

        Raises:
            StoreUnavailableError: it has not left.
        """
        await self.refresh()
        own = self.rows.get(self.parts.here.node_id)
        if own is not None and own.state != LEFT:
            await self._declare(own.node_id, LEFT, cast("dict[str, Value]", own.detail))
        self.has_left = True

    # -- what is known ---------------------------------------------------------------------

    @property
    def is_joined(self) -> bool:
        """Whether this node is a member, as of the last look."""
        own = self.rows.get(self.parts.here.node_id)
        return own is not None and own.state == JOINED

    def live(self) -> Sequence[str]:
        """The other members, whose word is waited for; those on this very store have all of it."""
        return [row.node_id for row in self._others() if not self._is_on_this_store(row)]

    def is_in_charge(self) -> bool:
        """Whether it is this node that speaks for the fleet: the lowest id that is not silent."""
        horizon = self.parts.options.horizon_seconds
        own = self.parts.here.node_id
        return self.is_joined and all(
            own < row.node_id for row in self._others() if self.silence_of(row) <= horizon
        )

    def silence_of(self, row: MemberRow) -> float:
        """For how many seconds nobody heard of a member."""
        if self._is_on_this_store(row):
            return 0.0
        since = epoch_milliseconds(parse_instant(row.updated_at))
        heard = max(since, self.parts.gossip.seen_ms(row.node_id))
        return max(0.0, (self._now_ms() - heard) / 1_000)

    def status(self) -> Sequence[MemberStatus]:
        """Every member there is or was."""
        own = self.parts.here.node_id
        return [
            MemberStatus(
                row.node_id,
                row.state,
                row.updated_at,
                _text(row, "identity"),
                is_self=row.node_id == own,
                silent_seconds=None if row.node_id == own else self.silence_of(row),
            )
            for row in self.rows.values()
        ]

    def warnings(self) -> Sequence[str]:
        """Where the list of peers and the membership differ, as operators read it."""
        if self.has_left:
            return ["this node has left the fleet; restarted with its peers it joins again"]
        return [*self._own_warnings(), *self._peer_warnings()]

    # -- inside ----------------------------------------------------------------------------

    def _own_warnings(self) -> Iterator[str]:
        own = self.rows.get(self.parts.here.node_id)
        if own is not None and own.state != JOINED:
            yield (
                f"this node is {own.state} since {own.updated_at}; it joins again once its own"
                " entries are handed over and it lacks none"
            )

    def _peer_warnings(self) -> Iterator[str]:
        known = set()
        for lane in self.parts.lanes.values():
            node_id = lane.peer.node_id
            if node_id is None or lane.peer.store_id == self.parts.store.store_id:
                continue
            known.add(node_id)
            row = self.rows.get(node_id)
            if row is not None and row.state != JOINED:
                yield f"peer {lane.url} is node {node_id}, which is {row.state}"
        if all(lane.peer.node_id is not None for lane in self.parts.lanes.values()):
            for row in self._others():
                if row.node_id not in known and not self._is_on_this_store(row):
                    name = _text(row, "identity") or row.node_id
                    yield f"member {name} ({row.node_id}) is none of this node's peers"

    def _others(self) -> Iterator[MemberRow]:
        for row in self.rows.values():
            if row.state == JOINED and row.node_id != self.parts.here.node_id:
                yield row

    def _is_on_this_store(self, row: MemberRow) -> bool:
        return _text(row, "store_id") == self.parts.store.store_id

    def _note_contacts(self) -> None:
        now, now_ms = asyncio.get_running_loop().time(), self._now_ms()
        contacts = set(self.parts.gossip.callers_since(self._looked_at))
        contacts.update(
            lane.peer.node_id
            for lane in self.parts.lanes.values()
            if lane.peer.node_id is not None
            and lane.peer.heard_at is not None
            and lane.peer.heard_at >= self._looked_at
        )
        self._looked_at = now
        for node_id in contacts:
            self.parts.gossip.saw(node_id, now_ms)

    def _is_to_join(self) -> bool:
        own = self.rows.get(self.parts.here.node_id)
        if own is None:
            return self._has_company()
        if own.state == JOINED:
            return own.detail != self._own_detail()
        return self._has_company() and self._is_even()

    def _has_company(self) -> bool:
        """Whether anybody of this kind is, or was in this run, in touch with us."""
        return bool(self.parts.gossip.callers_since(0.0)) or any(
            lane.peer.node_id is not None for lane in self.parts.lanes.values()
        )

    def _is_even(self) -> bool:
        """Whether some peer has all that is here, and this node all that any peer has."""
        return self.parts.puller.is_even and any(
            lane.reach is Reach.UP and lane.is_drained() for lane in self.parts.lanes.values()
        )

    def _own_detail(self) -> dict[str, Value]:
        parts = self.parts
        return {
            "identity": parts.options.identity,
            "public_key": parts.key.public_bytes.hex(),
            "store_id": parts.store.store_id,
        }

    async def _expire(self, row: MemberRow) -> None:
        _LOGGER.error(
            "member %s (%s) was silent for %.1f hours and is expired: nothing is kept for it any"
            " more, and when it is back it catches up by a snapshot",
            *(row.node_id, _text(row, "identity"), self.silence_of(row) / 3_600),
        )
        self.expired += 1
        await self._declare(row.node_id, EXPIRED, cast("dict[str, Value]", row.detail))

    async def _declare(self, node_id: str, membership: str, detail: dict[str, Value]) -> None:
        actor = f"node:{self.parts.here.node_id}"
        await self.parts.store.submit(Say(drafts.member(node_id, membership, detail, actor)))
        _LOGGER.info("node %s has %s", node_id, membership)
        await self.refresh()

    def _now_ms(self) -> int:
        return epoch_milliseconds(self.parts.clock.now())


def _text(row: MemberRow, name: str) -> str | None:
    value = row.detail.get(name) if isinstance(row.detail, dict) else None
    return value if isinstance(value, str) else None

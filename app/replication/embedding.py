"""Who makes the vector of a text: its author, or one node in its stead, so that it is made once.

A node embeds what it wrote itself. Only if the author embeds nothing that this node could use,
because it fell silent, left, or has another model, somebody else does: whom rendezvous hashing
names among the nodes that run and have this model. Where all see the same nodes, that is one. Where
they do not, whoever weighs most of all always names itself, so no text is left to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from app.log.kinds.member import JOINED
from app.replication.enduring import enduring
from app.replication.here import node_of
from app.replication.quorum import Reach

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from app.replication.gossip import Gossip
    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 10.0
"""How long after the start own texts wait, at most, for what others made of them meanwhile."""
_EARLY_LOOK_SECONDS: Final = 0.2
_LOOKS_A_SILENCE: Final = 4


def taker_of(memory_id: str, nodes: Iterable[str]) -> str:
    """The one of these nodes that a memory falls to, the same whoever asks; "" of none."""
    return max(nodes, key=lambda node: (_weight(memory_id, node), node), default="")


def _weight(memory_id: str, node: str) -> bytes:
    return blake2b(f"{node} {memory_id}".encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Duties:
    """Which texts are this node's to embed, as things stand at one moment."""

    own: str
    at_work: frozenset[str]
    """Other nodes that embed what they wrote."""
    takers: frozenset[str]
    """Nodes that may stand in for an author, this one included."""
    own_waits: bool = False
    """Whether others may have embedded own texts without this node's knowing yet."""
    overdue: frozenset[str] = frozenset()
    """Memories that nobody embedded, whoever should have."""

    def __call__(self, memory_id: str, origin: str) -> bool:
        """Whether a text that `origin` wrote is to be embedded here."""
        author = node_of(origin)
        if author == self.own:
            return not self.own_waits
        if memory_id in self.overdue:
            return True
        return author not in self.at_work and taker_of(memory_id, self.takers) == self.own


class EmbeddingDuties:
    """Keeps an eye on who embeds."""

    def __init__(
        self,
        model: str | None,
        silence_seconds: float,
        store: Store,
        here: Here,
        gossip: Gossip,
        scopes: Scopes,
        lanes: Mapping[str, Lane],
    ) -> None:
        """`model` is this node's; `lanes` is looked at anew each time."""
        self._model = model
        self._silence = silence_seconds
        self._store = store
        self._here = here
        self._gossip = gossip
        self._scopes = scopes
        self._lanes = lanes
        self._began = 0.0
        self._ends: Mapping[str, int] = {}
        self._arrived_at: dict[str, float] = {}
        self._gone: Collection[str] = ()
        self._overdue: frozenset[str] = frozenset()
        self.changed: Callable[[], None] = lambda: None
        """Called when other texts than before are this node's."""

    async def run(self) -> None:
        """Notice who comes and goes, for ever."""
        if self._model is None:
            return
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        last = self.now()
        while True:
            is_early = loop.time() - self._began < SETTLE_SECONDS
            await asyncio.sleep(
                _EARLY_LOOK_SECONDS if is_early else self._silence / _LOOKS_A_SILENCE
            )
            with enduring(_LOGGER, "who left the fleet is not known"):
                members = await self._store.members()
                self._gone = {one.node_id for one in members if one.state != JOINED}
            now = self.now()
            if now != last:
                last = now
                self.changed()

    def now(self) -> Duties:
        """The duties at this moment; they may be asked off the event loop."""
        now, here = asyncio.get_running_loop().time(), self._here
        self._note_arrivals(now)
        spoke = self._spoke_at()
        models = self._gossip.models
        lively = {
            node for node, at in spoke.items() if now - at < self._silence and node != here.node_id
        } - set(self._gone)
        authors = {node for node in map(node_of, here.clock) if node is not None}
        at_work = {
            node
            for node in (authors | lively) - {here.node_id} - set(self._gone)
            if models.get(node, self._model) == self._model
            and now - max(spoke.get(node, 0.0), self._arrived_at.get(node, 0.0), self._began)
            < self._silence
        }
        takers = {
            node
            for node in lively
            if models.get(node) == self._model and not self._scopes.is_limited(node)
        }
        return Duties(
            here.node_id,
            frozenset(at_work),
            frozenset(takers | {here.node_id}),
            self._is_unsettled(now),
            self._overdue,
        )

    def give_up_waiting(self, memory_ids: Collection[str]) -> None:
        """Whoever should have embedded these did not."""
        self._overdue = frozenset(memory_ids)
        self.changed()

    def _is_unsettled(self, now: float) -> bool:
        return now - self._began < SETTLE_SECONDS and any(
            not lane.tried.is_set()
            or (lane.reach is Reach.UP and self._here.lacks(lane.peer.clock))
            for lane in self._lanes.values()
        )

    def _spoke_at(self) -> Mapping[str, float]:
        """Node → when it said something to this one, asked or not."""
        found = dict(self._gossip.called_at)
        for lane in self._lanes.values():
            node, at = lane.peer.node_id, lane.peer.heard_at
            if node is not None and at is not None:
                found[node] = max(at, found.get(node, at))
        return found

    def _note_arrivals(self, now: float) -> None:
        """Entries that come round by others are a sign of life, too."""
        clock = self._here.clock
        if clock is self._ends:
            return
        for origin, seq in clock.items():
            if seq > self._ends.get(origin, 0):
                self._arrived_at[node_of(origin) or ""] = now
        self._ends = clock

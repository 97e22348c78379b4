"""How far every node of the fleet has come, told from node to node, and who called us when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.entry import SEQ_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.store.protocol import Store

SEEN: Final = ""
"""Stands for an origin in a node's clock: when it was last heard of by anybody, in milliseconds."""
RELAY_SECONDS: Final = 60.0
"""For how long a peer that asked us for somebody's entries is taken to rely on us for them."""


class Gossip:
    """Clocks of nodes. A clock heard from its node replaces, one heard of it only adds."""

    def __init__(self, latest_ms: Callable[[], int] = lambda: SEQ_MAX) -> None:
        """`latest_ms`: the latest time at which a clock that can be believed may say to be."""
        self._latest_ms = latest_ms
        self.own = ""
        """This node's id: of itself it believes nobody else."""
        self._clocks: dict[str, dict[str, int]] = {}
        self.called_at: dict[str, float] = {}
        """Node id → when it called us last; not to be changed."""
        self.models: dict[str, str | None] = {}
        """Node id → the model whose vectors it makes, None without; not to be changed."""
        self._relayed_at: dict[tuple[str, str], float] = {}
        self._is_news = False

    @property
    def cursors(self) -> Mapping[str, Mapping[str, int]]:
        """Node id → its clock; not to be changed."""
        return self._clocks

    async def load(self, store: Store) -> None:
        """Remember what was known before this boot."""
        self.told(await store.member_cursors())

    async def save(self, store: Store) -> None:
        """Keep what is known for the next boot."""
        if self._is_news:
            self._is_news = False
            await store.note_cursors(self._clocks)

    def said(self, node_id: str, clock: Mapping[str, int]) -> None:
        """A node gave its own clock."""
        seen = self.seen_ms(node_id)
        self._clocks[node_id] = {**clock, SEEN: seen} if seen else dict(clock)
        self._is_news = True

    def saw(self, node_id: str, now_ms: int) -> None:
        """A node was in touch with us."""
        self.told({node_id: {SEEN: now_ms}})

    def seen_ms(self, node_id: str) -> int:
        """When anybody last heard of a node, milliseconds since the epoch; 0 if that is unknown."""
        return self._clocks.get(node_id, {}).get(SEEN, 0)

    def told(self, cursors: Mapping[str, Mapping[str, int]]) -> None:
        """Somebody gave clocks of others."""
        for node_id, clock in cursors.items():
            if node_id == self.own:
                continue
            known = self._clocks.setdefault(node_id, {})
            for origin, seq in clock.items():
                if origin == SEEN and seq > self._latest_ms():
                    continue
                if seq > known.get(origin, 0):
                    known[origin] = seq
                    self._is_news = True

    def introduced(self, node_id: str, model: str | None) -> None:
        """A node said what it is."""
        self.models[node_id] = model

    def called(self, node_id: str, now: float) -> None:
        """A node called us."""
        self.called_at[node_id] = now

    def called_since(self, node_id: str, instant: float) -> bool:
        """Whether a node called us after a moment."""
        called_at = self.called_at.get(node_id)
        return called_at is not None and called_at >= instant

    def callers_since(self, instant: float) -> Sequence[str]:
        """The nodes that called us after a moment."""
        return [node_id for node_id, at in self.called_at.items() if at >= instant]

    def relies(self, node_id: str, origin: str, now: float) -> None:
        """A node fetched another one's entries from us."""
        self._relayed_at[node_id, origin] = now

    def is_relay(self, node_id: str, origin: str, now: float) -> bool:
        """Whether a node fetched an origin from us lately."""
        at = self._relayed_at.get((node_id, origin))
        return at is not None and now - at < RELAY_SECONDS

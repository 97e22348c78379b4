"""What is known of a peer, from whatever it said last."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.replication.messages import Hello
    from app.replication.ports import PeerCallError

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Peer:
    """One configured address and who answered there. Times are the event loop's."""

    url: str
    node_id: str | None = None
    """None until its first hello."""
    origin: str | None = None
    store_id: str | None = None
    identity: str | None = None
    software: str | None = None
    model: str | None = None
    clock: Mapping[str, int] = field(default_factory=dict)
    offset_ms: int | None = None
    """Its clock less ours, as of the last answer; half of the way there is taken off."""
    round_trip_ms: float | None = None
    heard_at: float | None = None
    is_off: bool = False
    """Whether its clock is further away from ours than is tolerated."""
    error: PeerCallError | None = None
    """Why the last attempt failed; None after a success."""

    def introduced(self, hello: Hello) -> None:
        """It said who it is."""
        if self.node_id not in {None, hello.node_id}:
            _LOGGER.warning(
                "peer %s is node %s now and was %s", self.url, hello.node_id, self.node_id
            )
        self.node_id = hello.node_id
        self.origin = hello.origin
        self.store_id = hello.store_id
        self.identity = hello.identity
        self.software = hello.software
        self.model = hello.model

    def timed(self, now_ms: int, peer_ms: int, sent: float, received: float) -> None:
        """An answer with its time came back; `now_ms` is our own time on receipt."""
        self.round_trip_ms = (received - sent) * 1000
        self.offset_ms = round(peer_ms - (now_ms - self.round_trip_ms / 2))
        self.heard_at = received

    def watch_clock(self, max_offset_ms: int) -> None:
        """Raise the alarm when its clock goes too far away, and say when it is back."""
        is_off = self.offset_ms is not None and abs(self.offset_ms) > max_offset_ms
        if is_off != self.is_off:
            self.is_off = is_off
            _LOGGER.log(
                logging.ERROR if is_off else logging.INFO,
                "the clock of peer %s is %s ms away from this node's, tolerated are %d",
                *(self.url, self.offset_ms, max_offset_ms),
            )

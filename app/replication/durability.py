"""How many nodes must hold a write before its client hears of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Durability(StrEnum):
    """What a request may ask for; `local` is one node's disk, which every write has."""

    LOCAL = "local"
    ONE = "one"
    MAJORITY = "majority"
    ALL = "all"

    def needed(self, nodes: int) -> int:
        """Copies on distinct stores, the local one included, among `nodes` of them.

        `one` is one peer beside this node, wherever there is a peer.
        """
        match self:
            case Durability.LOCAL:
                return 1
            case Durability.ONE:
                return min(2, nodes)
            case Durability.MAJORITY:
                return nodes // 2 + 1
            case Durability.ALL:
                return nodes


@dataclass(frozen=True, slots=True)
class PeerOutcome:
    """What one peer said to one write, for the answer of a miss."""

    peer: str
    status: str
    """`acked`, `refused`, `waiting`, or a `Failure`."""
    detail: str | None
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a wait for copies ended. `got` counts this node's own."""

    got: int
    needed: int
    reason: str | None = None
    """None when met; else `timeout`, `unreachable` or `refused`."""
    peers: tuple[PeerOutcome, ...] = field(default=())

    @property
    def is_met(self) -> bool:
        return self.reason is None

"""What an operator decides about the mesh, checked once, before anything listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.log.hlc import MAX_OFFSET_MS

if TYPE_CHECKING:
    from app.replication.durability import Durability

BATCH_BYTES: Final = 256 * 1024
BATCH_SECONDS: Final = 0.0015
TIMEOUT_SECONDS: Final = 2.0
CATCHUP_SECONDS: Final = 30.0
LIFE_SECONDS: Final = 5.0
TAKEOVER_SECONDS: Final = 60.0
HORIZON_SECONDS: Final = 7 * 86_400.0
MEMBERS_SECONDS: Final = 60.0
HOUSEKEEPING_SECONDS: Final = 3_600.0


class MeshOptionsError(ValueError):
    """The options contradict each other; the message names the flag."""


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """The options of one node. Durations are in seconds unless their name says otherwise.

    Raises:
        MeshOptionsError: more copies are asked for than there are nodes, or a peer is named twice.
    """

    identity: str
    """Who this node says to be, `host:<hostname>` unless configured."""
    peers: tuple[str, ...] = ()
    """Base URLs without a trailing slash, in lower case where case does not count."""
    writes: int = 0
    """W: copies, the local one included, before a client hears of its write; 0 is 1."""
    durability: Durability | None = None
    """What a request that asks for nothing gets; None is `writes`."""
    timeout_seconds: float = TIMEOUT_SECONDS
    """How long a write waits for copies, and how long a call to a peer may take at least."""
    batch_bytes: int = BATCH_BYTES
    batch_seconds: float = BATCH_SECONDS
    """How long a push waits for company; a full batch goes at once."""
    catchup_seconds: float = CATCHUP_SECONDS
    """How often peers are asked for what is missing, news or not; 0 turns pulling off."""
    life_seconds: float = LIFE_SECONDS
    """How often an idle lane says that it lives."""
    max_offset_ms: int = MAX_OFFSET_MS
    """A peer's clock further away than this is alarmed; the store keeps later entries apart."""
    horizon_seconds: float = HORIZON_SECONDS
    """How long the log is kept for a silent member, who is expired then."""
    takeover_seconds: float = TAKEOVER_SECONDS
    """How long a node may be silent before others embed what it wrote."""
    members_seconds: float = MEMBERS_SECONDS
    """How often a node looks whether it, or somebody silent, has to be declared anew."""
    housekeeping_seconds: float = HOUSEKEEPING_SECONDS
    """How often the log is truncated and tombstones are dropped."""

    def __post_init__(self) -> None:
        if len(set(self.peers)) != len(self.peers):
            twice = next(one for one in self.peers if self.peers.count(one) > 1)
            raise MeshOptionsError(f"--quorum-peers names {twice} twice")
        if self.writes > self.nodes:
            raise MeshOptionsError(
                f"--quorum-writes {self.writes} is more than the {self.nodes} nodes"
                " that this node and --quorum-peers make"
            )

    @property
    def nodes(self) -> int:
        """N: this node and its peers."""
        return 1 + len(self.peers)

    @property
    def needed(self) -> int:
        """Copies that a write needs when its request asks for nothing; at least 1."""
        if self.durability is not None:
            return self.durability.needed(self.nodes)
        return max(1, self.writes)

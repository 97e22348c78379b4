"""What a store shows to other nodes, and what it takes from them.

Entries come in runs of one origin, states as whole rows. Everything that is taken is durable when
the call returns. Names of the replication's own things (origins, heads, floors) are `app.log`'s.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from app.domain.errors import AiMemoryError
from app.log.hlc import HLC_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from app.domain.memory import Json
    from app.log.cursor import VectorClock
    from app.log.entry import Entry
    from app.log.epochs import EpochReason
    from app.log.state import EntityKey
    from app.store.writing.scrub import ScrubReport


class LogTruncatedError(AiMemoryError):
    """Asked for entries below an origin's floor, which is in the details: take a snapshot."""

    code = "LOG_TRUNCATED"


@dataclass(frozen=True, slots=True)
class OriginHead:
    """The end of an origin's chain here.

    Entries up to `floor` are not kept. `is_self` is true of the one origin that this node writes
    under now, and of none of its earlier ones.
    """

    origin: str
    seq: int
    hash: bytes
    hlc: int
    floor: int = 0
    is_self: bool = False


@dataclass(frozen=True, slots=True)
class SignedHead:
    """An origin's signature over its log up to `seq`; see `app.log.signing`."""

    origin: str
    seq: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class LogRun:
    """Consecutive entries of one origin after number `after`, whose hash is `after_hash`.

    `signature` is the origin's over the last of them, if it is kept here.
    """

    origin: str
    after: int
    after_hash: bytes
    entries: tuple[Entry, ...]
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class Veto:
    """Why an entry may not take effect here, whatever it says."""

    code: str
    detail: str


NO_VETOES: Final[Mapping[tuple[str, int], Veto]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that this node will not apply, kept in quarantine."""

    origin: str
    seq: int
    code: str


@dataclass(frozen=True, slots=True)
class ForeignOutcome:
    """What became of a batch: durable up to here, and who was refused (decision on acks)."""

    decided_up_to: Mapping[str, int]
    refused: Sequence[Refusal]
    applied: int


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """An entry that waits; `retry_at` if time alone can let it in."""

    origin: str
    seq: int
    code: str
    detail: str
    received_at: str
    retry_at: str | None


class State(Protocol):
    """A whole state in its canonical bytes."""

    @property
    def kind(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def state(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class StateRow:
    """A whole state, and its hash as digests count it."""

    kind: str
    key: str
    state: bytes
    row_hash: bytes


class StateVector(Protocol):
    """A memory's vector: `stamp` as text, `vector` float16 little endian."""

    @property
    def memory_id(self) -> str: ...

    @property
    def stamp(self) -> str: ...

    @property
    def content_hash(self) -> bytes: ...

    @property
    def model(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def vector(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class VectorRow:
    """See `StateVector`."""

    memory_id: str
    stamp: str
    content_hash: bytes
    model: str
    dim: int
    vector: bytes


class Head(Protocol):
    """The end of an origin's chain somewhere."""

    @property
    def origin(self) -> str: ...

    @property
    def seq(self) -> int: ...

    @property
    def hash(self) -> bytes: ...

    @property
    def hlc(self) -> int: ...


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A node of the fleet: `joined`, `left` or `expired`, since when, and what the entry said."""

    node_id: str
    state: str
    detail: Json
    updated_at: str


class Replica(ABC):
    """A store as other nodes know it."""

    # -- who this is -----------------------------------------------------------------------

    @property
    @abstractmethod
    def store_id(self) -> str:
        """Equal for nodes that share this store, and for no others."""

    @abstractmethod
    async def renew_origin(self, reason: EpochReason, used_epochs: Mapping[str, int]) -> str:
        """Write under a new epoch from now on, and say its origin; durable when this returns.

        What was queued before is written under the old one, which is then like any other node's:
        its entries that were lost here may come back from peers.

        Args:
            reason: for operators.
            used_epochs: node id → the highest epoch that any peer knows of.

        Raises:
            StoreUnavailableError: the store writes under the old origin as before.
        """

    # -- the log ---------------------------------------------------------------------------

    @abstractmethod
    async def heads(self) -> Sequence[OriginHead]:
        """The end of every origin's chain, this node's own among them."""

    @abstractmethod
    async def clock(self) -> VectorClock:
        """What is applied here."""

    @abstractmethod
    async def log_run(self, origin: str, after: int, max_bytes: int) -> LogRun | None:
        """The next committed entries of one origin, about `max_bytes` of them and at least one.

        None if there are none. A foreign origin's run ends at the highest kept signature within
        `max_bytes`, so that it can be handed on; without one it is unsigned.

        Raises:
            LogTruncatedError: `after` lies below the floor.
        """

    @abstractmethod
    async def log_after(self, origin: str, seq: int, limit: int) -> Sequence[Entry]:
        """Entries of one origin after `seq`, in order.

        Raises:
            LogTruncatedError: `seq` lies below the floor.
        """

    @abstractmethod
    async def applied_after(self, apply_no: int, limit: int) -> Sequence[tuple[int, Entry]]:
        """Entries in this store's own order of application, for followers."""

    @abstractmethod
    def watch_log(self, notify: Callable[[], None]) -> None:
        """Call `notify` on the event loop after commits that appended entries, whoever's.

        Several watchers may be set; several commits may be one call.
        """

    @abstractmethod
    async def append_foreign(
        self,
        entries: Sequence[Entry],
        *,
        signed: Sequence[SignedHead] = (),
        vetoes: Mapping[tuple[str, int], Veto] = NO_VETOES,
    ) -> ForeignOutcome:
        """Append a peer's entries, contiguous per origin, in one transaction.

        Known entries are skipped, and reported as refused if they wait in quarantine. A malformed
        or future-dated one, or one that `vetoes` names by origin and number, goes to quarantine and
        the cursor passes it; a gap or a fork ends that origin's part of the batch. Of this node's
        own current origin nothing is taken, but a fork is reported.

        Args:
            entries: in order.
            signed: signatures that the caller has verified; kept if their entry is.
            vetoes: (origin, number) → why that entry may not take effect.

        Raises:
            StoreUnavailableError: nothing was kept.
        """

    @abstractmethod
    async def retry_quarantine(self, *, is_new_release: bool = False) -> int:
        """Apply entries that were put aside for a future stamp whose time has come; how many.

        With `is_new_release` what could not be understood is tried again, too.
        """

    @abstractmethod
    async def quarantined(self, limit: int) -> Sequence[QuarantinedRow]:
        """Entries that wait, the newest first; not those whose like came in good order since."""

    @abstractmethod
    async def quarantined_count(self) -> int:
        """How many wait."""

    @abstractmethod
    async def truncate_log(self, floors: Mapping[str, int], before: int = HLC_MAX) -> int:
        """Forget entries up to a number of each origin; how many went. Heads stay.

        Args:
            floors: origin → the last number that may go.
            before: only entries stamped earlier go.

        Raises:
            StoreUnavailableError: some may have gone; asking again goes on.
        """

    @abstractmethod
    async def followed(self) -> Mapping[str, int]:
        """Origin → how far what follows the log in this store has come; others are not followed."""

    # -- states ----------------------------------------------------------------------------

    @abstractmethod
    async def digests(self) -> Sequence[bytes]:
        """One digest a bucket; equal at equal clocks on every node."""

    @abstractmethod
    async def clocked_digests(self) -> tuple[VectorClock, Sequence[bytes]]:
        """The clock and the digests that hold at it, read in one snapshot."""

    @abstractmethod
    async def bucket_rows(self, buckets: Collection[int]) -> Sequence[tuple[EntityKey, bytes]]:
        """Keys and hashes of every state in some buckets. Reads all keys."""

    @abstractmethod
    async def states_after(
        self, after: tuple[str, str] | None, max_bytes: int
    ) -> Sequence[StateRow]:
        """The next states in the order of (kind, key), about `max_bytes` and at least one.

        Empty at the end.
        """

    @abstractmethod
    async def states_of(self, keys: Sequence[EntityKey]) -> Sequence[StateRow]:
        """Those that exist."""

    @abstractmethod
    async def vectors_of(self, ids: Sequence[str]) -> Sequence[VectorRow]:
        """The vectors of those memories that have one."""

    @abstractmethod
    async def join_states(
        self,
        rows: Sequence[State],
        *,
        vectors: Sequence[StateVector] = (),
        heads: Sequence[Head] = (),
    ) -> int:
        """Join whole states into those here, in one transaction; how many changed.

        No entry is appended. A state that is malformed, or stamped further ahead than clocks may
        differ, is left out and logged: digests go on to differ until it can be joined.

        Args:
            rows: in any order.
            vectors: kept if they are of their memory's present text and of this node's model.
            heads: with the last page of a snapshot, the ends of the chains that it covers. Each
                becomes the floor of its origin, which is received from there on.

        Raises:
            StoreUnavailableError: nothing was kept.
        """

    @abstractmethod
    async def scrub(self, progress: Callable[[int, int], None]) -> ScrubReport:
        """Hash every stored row and chain again. `progress` is told (done, total) rows."""

    @abstractmethod
    async def mend(self, rows: Sequence[State]) -> int:
        """Put states in the place of what stands here, readable or not; how many.

        Whatever showed a row is made anew. No entry is appended; what only the state here held is
        lost, unlike with `join_states`.

        Raises:
            StoreUnavailableError: nothing was changed.
        """

    # -- forgetting the dead ---------------------------------------------------------------

    @abstractmethod
    async def tombstone_floor(self) -> int:
        """The clock below which the dead are forgotten; 0 before anything was."""

    @abstractmethod
    async def oldest_tombstones(self, below: int, limit: int) -> Sequence[int]:
        """The clocks of the oldest deaths before `below`, in order, at most so many."""

    @abstractmethod
    async def drop_states(self, rows: Sequence[StateRow]) -> int:
        """Take away memories that still are as given here, and all that shows them; how many.

        No entry is appended: only for states that every other node has forgotten.

        Raises:
            StoreUnavailableError: nothing was changed.
        """

    # -- members ---------------------------------------------------------------------------

    @abstractmethod
    async def members(self) -> Sequence[MemberRow]:
        """Who belongs, or belonged, to the fleet."""

    @abstractmethod
    async def member_cursors(self) -> Mapping[str, Mapping[str, int]]:
        """Node id → how far it has come with each origin, as far as is known."""

    @abstractmethod
    async def note_cursors(self, cursors: Mapping[str, Mapping[str, int]]) -> None:
        """Remember how far members have come. They only move forward."""

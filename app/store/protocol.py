"""What a store is: reads in the field's words, and one way to write.

A write is a command. The adapter's single writer gives it a view of the merged
state, inside the transaction that will hold its entries; the command decides,
purely, which entries to append. So a check (is the name free, is the version
current, is there quota left) and the write that depends on it cannot be torn
apart, and a command that refuses fails alone while its batch commits.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar, cast

from app.domain.ranking import COSINE_FLOOR
from app.domain.recalled import Chosen, WordHits
from app.store.replica import (
    NO_VETOES,
    ForeignOutcome,
    LogRun,
    LogTruncatedError,
    MemberRow,
    OriginHead,
    QuarantinedRow,
    Refusal,
    Replica,
    SignedHead,
    StateRow,
    VectorRow,
    Veto,
)
from app.store.sql.archive import ArchiveReads
from app.store.sql.filters import MemoryFilter
from app.store.sql.links import LinkReads
from app.store.sql.memories import MemoryReads
from app.store.sql.namespaces import NamespaceReads
from app.store.sql.records import RecordReads
from app.store.sql.statistics import StatisticsReads
from app.store.sql.sync import SyncReads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.domain.memory import Memory
    from app.domain.ranking import Candidate
    from app.domain.recalled import Choose
    from app.log.cursor import VectorClock
    from app.log.entry import Draft
    from app.log.names import Name
    from app.log.projection import Snapshot
    from app.log.registers import Cells
    from app.log.state import EntityKey
    from app.store.sql.filters import Viewer
    from app.store.sql.selects import SqlValue

T = TypeVar("T")
Accepts: TypeAlias = "Callable[[str, str], bool]"

__all__ = [
    "NO_VETOES",
    "Accepts",
    "Charge",
    "Command",
    "Decided",
    "ForeignOutcome",
    "LocalRow",
    "LogRun",
    "LogTruncatedError",
    "MemberRow",
    "Needs",
    "OriginHead",
    "QuarantinedRow",
    "QuotaLimits",
    "Receipt",
    "Refusal",
    "Replica",
    "ScoredId",
    "SignedHead",
    "StateRow",
    "Store",
    "StoreStatus",
    "TitledId",
    "Unembedded",
    "Usage",
    "VectorRow",
    "Veto",
    "View",
]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a write costs an agent in a namespace (semantics 9)."""

    agent_id: str
    namespace: str
    memories: int = 0
    storage_bytes: int = 0
    links: int = 0


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """Per agent; None is unlimited. Defaults for rows that do not exist yet."""

    memories_per_day: int | None
    storage_bytes: int | None
    links_per_day: int | None


@dataclass(frozen=True, slots=True)
class LocalRow:
    """A row of a table that is this node's own (a subscription): put, or deleted with None."""

    table: str
    key: Mapping[str, SqlValue]
    values: Mapping[str, SqlValue] | None


class View(Protocol):
    """The state as this command sees it: committed rows plus the batch so far."""

    @property
    def now(self) -> str:
        """The batch's time, canonical text."""
        ...

    @property
    def origin(self) -> str:
        """Who appends."""
        ...

    def snapshot(self, memory_id: str) -> Snapshot | None:
        """A memory, whatever its life; None if unknown, partial or purged."""
        ...

    def holder(self, namespace: str, title: str) -> Snapshot | None:
        """Who holds a name, live; possibly expired (see `Snapshot.is_current`)."""
        ...

    def cells(self, key: EntityKey) -> Cells | None:
        """Any state, such as a link's."""
        ...

    def charge(self, cost: Charge, limits: QuotaLimits) -> None:
        """Count a cost; taken back when the command fails.

        Raises:
            QuotaExceededError: with `limit`, `current`, `max` and `agent_id`.
        """
        ...

    def same_text(self, text_hash: bytes) -> Sequence[str]:
        """Ids of live memories with this normalised text, not all if there are very many."""
        ...


@dataclass(frozen=True, slots=True)
class Needs:
    """What a command will look at, to be read in bulk. Leaving something out only costs time."""

    memories: Sequence[str] = ()
    names: Sequence[Name] = ()
    keys: Sequence[EntityKey] = ()
    quotas: Sequence[tuple[str, str]] = ()
    text_hashes: Sequence[bytes] = ()
    origins: Sequence[str] = ()
    """Origins whose entries are taken in; commands append to this node's own alone."""


@dataclass(frozen=True, slots=True)
class Decided(Generic[T]):
    """What a command decided: entries to append, own rows, and the answer.

    `result` is called after the entries are applied, with the view that shows them.
    """

    result: Callable[[View], T]
    drafts: Sequence[Draft] = ()
    rows: Sequence[LocalRow] = ()


class Command(Protocol[T]):
    """A write."""

    @property
    def needs(self) -> Needs:
        """What to prefetch."""
        ...

    def decide(self, view: View) -> Decided[T]:
        """Pure. Runs in the writer, so a few microseconds at most, no I/O.

        Raises:
            AiMemoryError: refused; nothing of this command is kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class Receipt(Generic[T]):
    """A committed command: durable on this node when this value exists.

    `first` and `seq` are the numbers of its first and last entry, None when it appended nothing.
    """

    result: T
    origin: str
    seq: int | None
    first: int | None = None

    @property
    def seqs(self) -> range:
        """The numbers of its entries."""
        return range(0) if self.seq is None else range(self.first or self.seq, self.seq + 1)


@dataclass(frozen=True, slots=True)
class ScoredId:
    """A retriever's hit; greater scores are better."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class TitledId:
    """A row and its title."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one recall's row leaves behind, to be coalesced into a touch."""

    memory_id: str
    accesses: int
    accessed_at: str
    expires_at: str | None
    """The later expiry that the access earns, if the row has one."""


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A live memory without a current vector.

    Its text is the title as it was written, whoever holds it, and the content; `origin` is who
    wrote them last.
    """

    memory_id: str
    content_hash: bytes
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class ReplicaReads:
    """What became of reads that copies of a store may answer, since the start.

    `behind` and `failed` were asked of a copy first and then of the store itself, `primary` of the
    store alone, because a copy had just been behind or failed. `problem` is why the last one that
    failed did, until one succeeds.
    """

    location: str
    replica: int
    behind: int
    failed: int
    primary: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What operators ask of a store."""

    backend: str
    location: str
    origin: str
    clock: VectorClock
    schema_version: int
    vectors: int
    vectors_outside_index: int
    details: Mapping[str, object] = field(default_factory=dict)
    replica_reads: ReplicaReads | None = None


class Store(
    MemoryReads,
    LinkReads,
    ArchiveReads,
    NamespaceReads,
    RecordReads,
    StatisticsReads,
    SyncReads,
    Replica,
):
    """A store. Reads never wait for the writer."""

    @abstractmethod
    async def submit(self, command: Command[T]) -> Receipt[T]:
        """Run one command in the next batch; returns once it is durable.

        Raises:
            AiMemoryError: what the command refused with, or why the store cannot write.
        """

    @abstractmethod
    async def submit_all(self, commands: Sequence[Command[T]]) -> Sequence[Receipt[T] | Exception]:
        """Run many commands in order, in as few batches as fit; each fails alone."""

    @abstractmethod
    async def search_text(
        self, query: str, chosen: MemoryFilter, limit: int, *, every_term: bool
    ) -> Sequence[ScoredId]:
        """Keyword hits by BM25, best first; `every_term` joins the terms with AND."""

    @abstractmethod
    async def weighed(
        self, ids: Sequence[str], vector: Sequence[float] | None, query: str | None
    ) -> Sequence[Candidate]:
        """What ranking needs of those of `ids` that exist, in any order, in one read.

        With a vector their cosines are filled, with a query how much of it their words hold.
        """

    async def recall_words(
        self, query: str, chosen: MemoryFilter, limit: int, *, covers: bool
    ) -> WordHits:
        """The text leg of a recall. `covers`: how much each row holds of the question will count.

        This one reads nothing ahead; a store whose reads cost hand-overs does.
        """
        hits = await self.search_text(query, chosen, limit, every_term=False)
        return WordHits({hit.id: hit.score for hit in hits}, query if covers else None)

    async def recall_best(
        self,
        words: WordHits,
        vector: Sequence[float] | None,
        chosen: MemoryFilter,
        limit: int,
        choose: Choose,
    ) -> Chosen:
        """The rows that `choose` picks from the words' hits and the `limit` nearest ones.

        Nearest are only rows above `COSINE_FLOOR`. Candidates come with all three scores, as far
        as they are known: every row with a stored vector has its cosine, whoever found it.
        """
        hits = () if vector is None else await self.search_vector(vector, chosen, limit)
        near = {hit.id: hit.score for hit in hits if hit.score > COSINE_FLOOR}
        query = cast("str | None", words.prepared)
        rows = await self.weighed(list(dict.fromkeys([*words.scores, *near])), vector, query)
        candidates = [
            replace(row, text_score=words.scores.get(row.id), cosine=near.get(row.id, row.cosine))
            for row in rows
        ]
        ranked = choose(candidates)
        memories = await self.get_many([one.id for one in ranked], MemoryFilter(now=chosen.now))
        return Chosen(ranked, memories, len(candidates), len(near))

    @abstractmethod
    async def titled_like(
        self, words: Sequence[str], viewer: Viewer, namespace: str, now: str
    ) -> Sequence[TitledId]:
        """Some newest rows whose title holds one of a few words; cheap, unranked, bounded."""

    @abstractmethod
    async def search_vector(
        self, vector: Sequence[float], chosen: MemoryFilter, limit: int
    ) -> Sequence[ScoredId]:
        """Nearest rows by cosine, best first."""

    @abstractmethod
    async def snapshot(self, memory_id: str) -> Snapshot | None:
        """The merged state of one memory, whatever its life."""

    @abstractmethod
    async def unembedded(
        self, model: str, limit: int, accepts: Accepts | None = None
    ) -> Sequence[Unembedded]:
        """Live memories whose vector of `model` is missing or stale, oldest first.

        With `accepts` only those whose (id, origin) it lets through, however many others wait. It
        is called off the event loop.
        """

    @abstractmethod
    def watch_backlog(self, notify: Callable[[], None]) -> None:
        """Call `notify` on the event loop when texts wait for a vector."""

    @abstractmethod
    async def collect_expired(self, limit: int, *, archive: bool) -> Sequence[Memory]:
        """Move up to `limit` expired rows out of the live table; a local, reversible projection."""

    @abstractmethod
    async def status(self) -> StoreStatus:
        """Facts for health, capabilities and doctor."""

    @abstractmethod
    async def check(self) -> None:
        """Prove that the store answers and its text index is sound.

        Raises:
            StoreUnavailableError: it does not.
        """

    @abstractmethod
    async def refresh(self) -> None:
        """Bring caches up to date and save them; called now and then."""

    @abstractmethod
    async def close(self) -> None:
        """Drain the writer, save caches, let go of the files."""

"""Memories one by one and in bulk: store, read, list, change, promote, delete."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import AiMemoryError, InvalidInputError, NotFoundError
from app.domain.text import equal_text_key
from app.domain.timestamps import format_instant
from app.services.commands.memories import (
    Changes,
    DeleteMemory,
    PromoteMemory,
    StoreMemory,
    UpdateMemory,
)
from app.services.new_memory import CheckedMemory, NewMemory, TierLives, checked, row_of
from app.services.tag_filter import read_tags
from app.store.consistency import may_lag
from app.store.protocol import Receipt
from app.store.sql.filters import MemoryFilter
from app.store.sql.memories import ListPosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.domain.sources import Clock, IdSource
    from app.observability.metrics import Metrics
    from app.services.attestation import Attestation
    from app.services.caller import Caller
    from app.services.commands.memories import StoredRow
    from app.services.contradictions import ContradictionFinder
    from app.services.semantic_twins import SemanticTwins
    from app.store.protocol import QuotaLimits, Store

BULK_ROWS_MAX: Final = 1_000
NEVER: Final = frozenset({"", "never"})
"""What an update writes to clear an expiry (http-api 7.3 row 31)."""


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """What an operator may set about writes.

    `near_duplicates` False lets equal texts in; `archive_deleted` keeps a copy of what is deleted
    or expired.
    """

    lives: TierLives = field(default_factory=TierLives)
    limits: QuotaLimits | None = None
    near_duplicates: bool = True
    archive_deleted: bool = True


@dataclass(frozen=True, slots=True)
class StoredMemory:
    """A durable store: the row as it stands, and what it may contradict."""

    memory: Memory
    is_new: bool
    contradictions: Sequence[str]
    origin: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of a deleted memory."""

    memory: Memory
    is_archived: bool
    is_purged: bool


@dataclass(frozen=True, slots=True)
class ListedMemories:
    """A page, how many there are in all, and where the next page starts."""

    memories: Sequence[Memory]
    total: int
    following: ListPosition | None


@dataclass(frozen=True, slots=True)
class MemoryUpdate:
    """What a client asks to change, not checked yet; None leaves a field alone."""

    changes: Changes
    expected_version: int | None = None


class MemoryService:
    """The use cases of single memories."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: IdSource,
        rules: MemoryRules,
        attestation: Attestation,
        contradictions: ContradictionFinder,
        metrics: Metrics,
        twins: SemanticTwins | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._rules = rules
        self._attestation = attestation
        self._contradictions = contradictions
        self._metrics = metrics
        self._twins = twins

    # -- writing ---------------------------------------------------------------------------

    def check(self, new: NewMemory) -> CheckedMemory:
        """The values of a store, checked before anything is asked about its caller.

        Raises:
            InvalidInputError: the first broken rule.
        """
        return checked(new, self._clock.now())

    async def store(self, accepted: CheckedMemory, caller: Caller) -> StoredMemory:
        """One memory, durable when this returns.

        Raises:
            ConflictError: the name is taken, or the text is.
            NotOwnerError: a merge into another agent's row.
            AttestationError: its signature does not hold.
            QuotaExceededError: the agent's quota is used up.
        """
        command = await self._command(accepted, caller)
        row, counted = command.memory, self._metrics.store_total
        search = self._contradictions.beside(
            row.title, caller.viewer(), row.namespace, row.created_at
        )
        with search as advice:
            try:
                receipt = await self._store.submit(command)
            except BaseException:
                counted.labels(row.tier, "error").inc()
                raise
            counted.labels(row.tier, "ok").inc()
            return _stored(receipt, await advice())

    async def store_all(
        self, rows: Sequence[NewMemory], caller: Caller
    ) -> Sequence[StoredMemory | AiMemoryError]:
        """Many memories in order, each failing alone (http-api 3.2, bulk).

        Raises:
            InvalidInputError: more than 1000.
            StoreUnavailableError: nothing could be written.
        """
        if len(rows) > BULK_ROWS_MAX:
            raise InvalidInputError(f"bulk operations limited to {BULK_ROWS_MAX} items")
        outcomes: list[StoredMemory | AiMemoryError | None] = [None] * len(rows)
        commands: list[tuple[int, StoreMemory]] = []
        for index, new in enumerate(rows):
            try:
                # v0.7.0 never looks for near-duplicates here: whoever sends many means them all.
                accepted = self.check(new)
                commands.append((index, await self._command(accepted, caller, guarded=False)))
            except AiMemoryError as error:
                outcomes[index] = error
            if index % 50 == 49:  # noqa: PLR2004 - a long batch lets other requests in between
                await asyncio.sleep(0)
        receipts = await self._store.submit_all([command for _, command in commands])
        for (index, _), receipt in zip(commands, receipts, strict=True):
            outcomes[index] = _outcome(receipt)
        return [one for one in outcomes if one is not None]

    async def _command(
        self, accepted: CheckedMemory, caller: Caller, *, guarded: bool = True
    ) -> StoreMemory:
        rules = self._rules
        now = self._clock.now()
        row = row_of(accepted, self._ids.uuid4(), caller.agent_id, now, rules.lives)
        if accepted.new.signature is not None or self._attestation.required:
            row = await self._attestation.apply(row, accepted.new, caller.agent_id, now)
        guarded = guarded and rules.near_duplicates and not accepted.new.force
        if guarded and self._twins is not None:
            await self._twins.refuse(row, caller)
        return StoreMemory(
            memory=row,
            caller=caller,
            on_conflict=accepted.new.on_conflict,
            limits=None if caller.from_control_socket else rules.limits,
            text_key=equal_text_key(row.content) if guarded else None,
            archive_expired=rules.archive_deleted,
        )

    async def update(self, reference: str, asked: MemoryUpdate, caller: Caller) -> Memory:
        """Change a memory.

        Raises:
            NotFoundError: no such memory, or not the caller's to see.
            NotOwnerError: another agent's.
            VersionConflictError: not the expected version.
            ConflictError: the new title is taken.
        """
        changes = _checked_changes(asked.changes)
        memory_id = await self.resolve(reference, caller)
        receipt = await self._store.submit(
            UpdateMemory(
                memory_id, changes, caller, asked.expected_version, self._rules.archive_deleted
            )
        )
        return receipt.result

    async def promote(self, reference: str, caller: Caller) -> Memory:
        """To the long tier, without expiry."""
        memory_id = await self.resolve(reference, caller)
        return (await self._store.submit(PromoteMemory(memory_id, caller))).result

    async def delete(self, reference: str, caller: Caller, *, purge: bool = False) -> Deletion:
        """Into the archive unless the operator keeps none; `purge` erases for good."""
        memory_id = await self.resolve(reference, caller)
        archived = self._rules.archive_deleted and not purge
        standards = await self._store.namespaces_led_by((memory_id,))
        receipt = await self._store.submit(
            DeleteMemory(memory_id, caller, archived, purge=purge, standards=standards)
        )
        return Deletion(receipt.result, archived, purge)

    # -- reading ---------------------------------------------------------------------------

    @may_lag
    async def get(self, reference: str, caller: Caller) -> Memory:
        """One memory by its id or a prefix that is its alone.

        Raises:
            NotFoundError: none that the caller may see.
            AmbiguousIdError: several start so.
        """
        chosen = self._visible(caller)
        found = await self._store.get(must.memory_id(reference), chosen)
        if found is None:
            memory_id = await self._store.resolve_id(reference, chosen)
            found = None if memory_id is None else await self._store.get(memory_id, chosen)
        if found is None:
            raise NotFoundError("not found")
        return found

    @may_lag
    async def links_of(self, memory: Memory, caller: Caller) -> Sequence[MemoryLink]:
        """Links from and to a memory whose other end the caller may see, too."""
        return await self._store.links_around(memory.id, self._visible(caller))

    async def resolve(self, reference: str, caller: Caller) -> str:
        """The id that an id or unique prefix means among what the caller may see.

        Raises:
            NotFoundError: none.
            AmbiguousIdError: several.
        """
        found = await self._store.resolve_id(must.memory_id(reference), self._visible(caller))
        if found is None:
            raise NotFoundError("not found")
        return found

    @may_lag
    async def list_page(
        self,
        chosen: MemoryFilter,
        caller: Caller,
        limit: int,
        offset: int = 0,
        after: ListPosition | None = None,
    ) -> ListedMemories:
        """Memories by priority and recency that the caller may see."""
        visible = replace(chosen, now=self._now(), viewer=caller.viewer())
        visible = await read_tags(self._store, visible)
        # One row more tells whether there is a next page.
        page = await self._store.list_memories(visible, limit + 1, offset, after)
        rows = page.memories[:limit]
        following = position_of(rows[-1]) if rows and len(page.memories) > limit else None
        return ListedMemories(rows, page.total, following)

    def _now(self) -> str:
        return format_instant(self._clock.now())

    def _visible(self, caller: Caller) -> MemoryFilter:
        return MemoryFilter(now=self._now(), viewer=caller.viewer())


def position_of(memory: Memory) -> ListPosition:
    """Where a list stands after this row."""
    return ListPosition(memory.priority, memory.updated_at, memory.id)


def _checked_changes(asked: Changes) -> Changes:
    _check_words(asked)
    if asked.tags is not None:
        must.tags(asked.tags)
    if asked.priority is not None:
        must.priority(asked.priority)
    if asked.confidence is not None:
        must.confidence(asked.confidence)
    if asked.metadata is not None:
        must.metadata(asked.metadata)
    expires_at = asked.expires_at
    if expires_at is not None:
        expires_at = "" if expires_at in NEVER else must.instant(expires_at, "expires_at")
    return replace(asked, expires_at=expires_at)


def _check_words(asked: Changes) -> None:
    if asked.title is not None:
        must.title(asked.title)
    if asked.content is not None:
        must.content(asked.content)
    if asked.namespace is not None:
        must.namespace(asked.namespace)
    if asked.tier is not None:
        must.tier(asked.tier)
    if asked.source_uri is not None:
        must.source_uri(asked.source_uri)


def _stored(receipt: Receipt[StoredRow], contradictions: Sequence[str]) -> StoredMemory:
    row = receipt.result
    others = [one for one in contradictions if one != row.memory.id]
    return StoredMemory(row.memory, row.is_new, others, receipt.origin, receipt.seq)


def _outcome(receipt: Receipt[StoredRow] | Exception) -> StoredMemory | AiMemoryError:
    if isinstance(receipt, Receipt):
        return _stored(receipt, ())
    if isinstance(receipt, AiMemoryError):
        return receipt
    raise receipt

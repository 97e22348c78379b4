"""One transaction for everything queued: commands decided, entries sealed, rows written.

A command that refuses is undone alone. The log head moves only when the
transaction has committed, so a failed batch leaves no gap.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, cast

from app.domain.errors import AiMemoryError
from app.domain.timestamps import epoch_milliseconds, format_instant
from app.log.entry import Entry, seal
from app.log.forgetting import FLOOR, MARGIN, floor_of
from app.log.hlc import HLC_MAX, MAX_OFFSET_MS, HybridClock, Stamp
from app.log.names import Name
from app.log.state import EntityKey
from app.log.workspace import Workspace
from app.store.protocol import Command, LocalRow, Needs, Receipt
from app.store.tables import metadata, text_duplicates
from app.store.writing.chain import Chain, Head
from app.store.writing.flush import Flush, FlushReport
from app.store.writing.idempotency import KeyLedger
from app.store.writing.origins import HEADS, OriginLedger
from app.store.writing.port import BatchError
from app.store.writing.quotas import QuotaLedger
from app.store.writing.statements import Delete, Insert, Replace, Select
from app.store.writing.stored import StoredStates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.domain.sources import Clock
    from app.log.entry import Draft
    from app.log.projection import Snapshot
    from app.log.registers import Cells
    from app.store.protocol import Charge, QuotaLimits
    from app.store.writing.port import Row, Transaction
    from app.store.writing.statements import Write
    from app.store.writing.turns import Turns
    from app.store.writing.written import IdempotencyKey

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)
TWINS_MAX: Final = 16
"""So many of a text's memories are opened at a store; agents may repeat one thousands of times."""
_SAME_TEXT: Final = Select(text_duplicates, ("text_hash", "memory_id"), ("text_hash",))


class Job(Protocol):
    """A unit of the writer's queue: runs in a batch, then learns how it ended."""

    @property
    def needs(self) -> Needs:
        """What will be read."""
        ...

    @property
    def weight(self) -> int:
        """How many rows it is about, roughly."""
        ...

    def run(self, batch: Batch) -> None:
        """Change the batch. An error undoes this job only."""
        ...

    def succeed(self) -> None:
        """The batch is durable."""
        ...

    def fail(self, error: Exception) -> None:
        """This job, or the whole batch, is not."""
        ...


class Batch:
    """An open transaction's worth of work, and the view that its commands get."""

    def __init__(
        self,
        transaction: Transaction,
        chain: Chain,
        clock: Clock,
        turns: Turns,
        max_offset_ms: int = MAX_OFFSET_MS,
    ) -> None:
        """`max_offset_ms`: how far ahead of `clock` a foreign stamp may lie."""
        self.max_offset_ms = max_offset_ms
        instant = clock.now()
        self.transaction = transaction
        self.turns = turns
        self._chain = chain
        self.now_ms = epoch_milliseconds(instant)
        self._now = format_instant(instant)
        self.stored = StoredStates(transaction)
        self.workspace = Workspace(self.stored)
        self.quotas = QuotaLedger(transaction, self._now)
        self.origins = OriginLedger(transaction)
        self.keys = KeyLedger(transaction, self._now)
        self.entries: list[tuple[int, Entry]] = []
        self.local_rows: list[LocalRow] = []
        self.collected: dict[str, bool] = {}
        self.dropped: dict[str, int] = {}
        self._texts: dict[bytes, list[str]] = {}
        self._own = chain.own
        self._ticks = HybridClock(chain.last_hlc)
        self._later: list[tuple[Write, Row]] = []
        self._marks = (0, 0, 0, self._own, 0)

    # -- the view (app.store.protocol.View) ------------------------------------------------

    @property
    def now(self) -> str:
        """The batch's time."""
        return self._now

    @property
    def origin(self) -> str:
        """Who appends."""
        return self._own.origin

    def snapshot(self, memory_id: str) -> Snapshot | None:
        """A memory, whatever its life."""
        return self.workspace.snapshot(memory_id)

    def holder(self, namespace: str, title: str) -> Snapshot | None:
        """Who holds a name."""
        memory_id = self.workspace.holder(Name(namespace, title))
        return None if memory_id is None else self.workspace.snapshot(memory_id)

    def cells(self, key: EntityKey) -> Cells | None:
        """Any state."""
        return self.workspace.cells(key)

    def charge(self, cost: Charge, limits: QuotaLimits) -> None:
        """Count a cost."""
        self.quotas.charge(cost, limits)

    def same_text(self, text_hash: bytes) -> Sequence[str]:
        """Ids of live memories with this normalised text, of the first `TWINS_MAX` that have it."""
        if text_hash not in self._texts:
            self.prefetch_texts([text_hash])
        return [
            memory_id
            for memory_id in self._texts[text_hash][:TWINS_MAX]
            if (found := self.snapshot(memory_id)) is not None and found.is_current(self._now)
        ]

    def prefetch(self, needs: Sequence[Needs]) -> None:
        """Read what many jobs need, a statement a table.

        Always in this order: whom a batch waits for must not wait for it.
        """
        ids = [one for need in needs for one in need.memories]
        names = [name for need in needs for name in need.names]
        if names and self.transaction.is_shared:
            # Whoever holds a name is locked among the others, not after the name.
            ids.extend(self.stored.claimants(names))
        keys = [EntityKey("memory", one) for one in ids]
        keys.extend(key for need in needs for key in need.keys)
        self.workspace.prefetch(keys, ())
        # To show a row takes its name's claims.
        claims = (self.workspace.claim(one) for one in ids)
        names.extend(claim[0] for claim in claims if claim is not None)
        self.workspace.prefetch((), names)
        self.quotas.prefetch([pair for need in needs for pair in need.quotas])
        self.prefetch_texts([one for need in needs for one in need.text_hashes])
        self.origins.prefetch([one for need in needs for one in need.origins])

    def prefetch_texts(self, hashes: Iterable[bytes]) -> None:
        """Load who has these texts."""
        wanted = [one for one in dict.fromkeys(hashes) if one not in self._texts]
        if not wanted:
            return
        self._texts.update((one, []) for one in wanted)
        for text_hash, memory_id in self.transaction.read(_SAME_TEXT, [(one,) for one in wanted]):
            self._texts[cast("bytes", text_hash)].append(cast("str", memory_id))

    def resume(self) -> None:
        """Take up the log where this transaction sees its end; once, before the first job."""
        self._chain = self.transaction.resume(self._chain)
        self._own = self._chain.own
        self._ticks = HybridClock(self._chain.last_hlc)

    # -- appending -------------------------------------------------------------------------

    def append(self, draft: Draft) -> Entry:
        """Seal and apply one entry of our own."""
        head = self._own
        if draft.after:
            self.observe(draft.after)
        hlc = self._ticks.tick(self.now_ms)
        entry = seal(draft, head.origin, head.seq + 1, hlc, head.hash)
        self.workspace.apply(draft.kind, draft.payload, Stamp(hlc, head.origin))
        self.entries.append((head.origin_no, entry))
        self._own = Head(head.origin_no, head.origin, entry.seq, entry.hash, hlc)
        return entry

    def note_text(self, text_hash: bytes, memory_id: str) -> None:
        """A text that this batch adds, so that a twin in the same batch sees it."""
        self._texts.setdefault(text_hash, []).append(memory_id)

    def collect(self, memory_id: str, *, archive: bool) -> None:
        """Show an expired memory in the archive (or nowhere) instead of the live table."""
        self.collected[memory_id] = archive

    def drop(self, memory_id: str, below: int = HLC_MAX) -> None:
        """Forget a memory if it is dead in the end and says nothing as new as `below`."""
        self.dropped[memory_id] = below

    def floor(self, hlc: int) -> int:
        """The stamp below which the dead are forgotten, or 0 if `hlc` is certainly not below it."""
        if hlc > self._ticks.last - MARGIN:
            return 0
        return floor_of(self.workspace.cells(FLOOR))

    def observe(self, hlc: int) -> None:
        """A foreign stamp that was accepted.

        Raises:
            HlcTooFarAheadError: it is not.
        """
        self._ticks.observe(hlc, self.now_ms, self.max_offset_ms)

    def write_later(self, statement: Write, row: Row) -> None:
        """Write a row with the batch's others, unless the job is undone."""
        self._later.append((statement, row))

    def written_later(self, statement: Write) -> Sequence[Row]:
        """The rows that wait to be written by `statement`."""
        return [row for one, row in self._later if one is statement]

    def mark(self) -> None:
        """Start a job's step."""
        later = len(self._later)
        self._marks = (
            len(self.entries),
            len(self.local_rows),
            later,
            self._own,
            self._ticks.last,
        )
        self.workspace.mark()
        self.quotas.mark()
        self.keys.mark()

    def undo(self) -> None:
        """Take a job's step back."""
        entries, local_rows, later, own, ticks = self._marks
        del self.entries[entries:]
        del self.local_rows[local_rows:]
        del self._later[later:]
        self._own = own
        self._ticks = HybridClock(ticks)
        self.workspace.undo()
        self.quotas.undo()
        self.keys.undo()

    # -- committing ------------------------------------------------------------------------

    def flush(self, *, index_texts: bool, model: str | None) -> FlushReport:
        """Write everything; the caller commits."""
        flush = Flush(
            self.transaction,
            self.workspace,
            self.stored,
            self._now,
            self.turns,
            index_texts=index_texts,
            model=model,
        )
        flush.write(self.entries, self.collected, self.dropped)
        self.quotas.flush()
        self.keys.flush()
        self.origins.flush()
        for row in self.local_rows:
            _write_local(self.transaction, row)
        for statement in dict.fromkeys(statement for statement, _ in self._later):
            self.transaction.write(statement, self.written_later(statement))
        own = self._own
        if own is not self._chain.own:
            self.transaction.write(HEADS, [(own.origin_no, own.seq, own.hash, own.hlc)])
        return flush.report

    @property
    def chain(self) -> Chain:
        """The end of the log once this batch is durable."""
        return Chain(self._own, self._ticks.last)


def _write_local(transaction: Transaction, row: LocalRow) -> None:
    keys = tuple(row.key)
    if row.values is None:
        transaction.write(_local_delete(row.table, keys), [tuple(row.key.values())])
        return
    values = {**row.key, **row.values}
    put = _local_put(row.table, keys, tuple(row.values))
    transaction.write(put, [tuple(values.values())])


@cache
def _local_delete(table: str, keys: tuple[str, ...]) -> Delete:
    return Delete(metadata.tables[table], keys)


@cache
def _local_put(table: str, keys: tuple[str, ...], columns: tuple[str, ...]) -> Insert:
    every = tuple(dict.fromkeys((*keys, *columns)))
    return Insert(metadata.tables[table], every, Replace(keys, columns))


@dataclass(slots=True)
class CommandJob(Generic[T]):
    """A command in the queue."""

    command: Command[T]
    done: Callable[[Receipt[T] | Exception], None]
    key: IdempotencyKey | None = None
    receipt: Receipt[T] | None = field(default=None, init=False)

    @property
    def needs(self) -> Needs:
        """What the command says it needs."""
        return self.command.needs

    @property
    def weight(self) -> int:
        """Most commands are about one row."""
        return 1

    def run(self, batch: Batch) -> None:
        """Decide, append, and take the answer."""
        decided = self.command.decide(batch)
        first = seq = None
        for draft in decided.drafts:
            seq = batch.append(draft).seq
            first = first or seq
        if self.key is not None and seq is not None:
            named = decided.drafts[0].entity_ids
            batch.keys.take(self.key, batch.origin, seq, named[0] if named else None)
        batch.local_rows.extend(decided.rows)
        for text_hash in self.command.needs.text_hashes:
            for draft in decided.drafts:
                for memory_id in draft.entity_ids:
                    batch.note_text(text_hash, memory_id)
        self.receipt = Receipt(decided.result(batch), batch.origin, seq, first)

    def succeed(self) -> None:
        """Answer with the receipt."""
        if self.key is not None and self.receipt is not None and self.receipt.seqs:
            self.key.is_taken = True
        self.done(cast("Receipt[T]", self.receipt))

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


def run_jobs(batch: Batch, jobs: list[Job]) -> None:
    """Run each job. Those that failed have been told and are taken out of `jobs`.

    Raises:
        BatchError: the transaction cannot go on.
    """
    batch.prefetch([job.needs for job in jobs])
    batch.resume()
    failed: set[int] = set()
    try:
        for place, job in enumerate(jobs):
            batch.turns.step()
            if not _stands(batch, job):
                failed.add(place)
    finally:
        jobs[:] = [job for place, job in enumerate(jobs) if place not in failed]


def _stands(batch: Batch, job: Job) -> bool:
    batch.mark()
    try:
        job.run(batch)
    except BatchError:
        raise
    except AiMemoryError as error:
        batch.undo()
        job.fail(error)
    except Exception as error:  # a bug in one command must not take the others down
        _LOGGER.exception("a write failed unexpectedly")
        batch.undo()
        job.fail(error)
    else:
        return True
    return False

"""What the engine needs of a database: transactions, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from app.domain.errors import AiMemoryError
    from app.store.sql.selects import SqlValue
    from app.store.writing.chain import Chain
    from app.store.writing.statements import Read, Write

    Row = Sequence[SqlValue]


class Reader(Protocol):
    """Runs reads."""

    def read(self, statement: Read, parameters: Sequence[SqlValue] | Sequence[Row]) -> list[Row]:
        """The rows found: of a `Select` by rows of keys, of a `Query` by plain parameters."""
        ...


class Changes(Reader, Protocol):
    """An open transaction, whoever writes in it.

    A driver's error may pass through (`Transactions.begin` gives it its meaning), unless the
    transaction cannot go on after it: then it is a `BatchError` at once, so that no job is blamed.
    """

    @property
    def is_shared(self) -> bool:
        """Whether others may write to the store meanwhile."""
        ...

    def write(self, statement: Write, rows: Sequence[Row]) -> None:
        """Write all rows, in order, in as few statements as fit; none is no statement."""
        ...

    def add_to_digests(self, deltas: Mapping[int, bytes]) -> None:
        """Count a batch's changes, bucket → what it adds."""
        ...

    def note_rewritten(self, ids: Sequence[str]) -> None:
        """Live memories whose indexed text is about to be replaced or removed."""
        ...


class Transaction(Changes, Protocol):
    """A transaction that appends to the own log."""

    def resume(self, known: Chain) -> Chain:
        """The committed end of the own log as this transaction sees it.

        Asked once, when what the batch needs has been read. Where several nodes write, it also
        makes sure that this one still owns its origin.
        """
        ...


class Transactions(Protocol):
    """Where transactions come from; used by the writer's thread alone."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """Commit durably when the block ends, roll back when it raises.

        Raises:
            BrokenConstraintError: some row breaks the schema; nothing was kept.
            RaceError: another writer was faster; nothing was kept.
            BatchError, AiMemoryError: the database cannot write, whatever the rows.
        """
        ...

    @property
    def rest_seconds(self) -> float | None:
        """How long the writer may be idle before it calls `rest`; None for ever."""
        ...

    def rest(self) -> None:
        """Housekeeping between batches.

        Raises:
            BatchError, AiMemoryError: it must be tried again later.
        """
        ...


class BatchError(Exception):
    """The transaction cannot go on. `meaning` is what its jobs are told if it cannot be helped."""

    def __init__(self, meaning: AiMemoryError) -> None:
        super().__init__(meaning.message)
        self.meaning = meaning


class BrokenConstraintError(BatchError):
    """Some job's rows break the schema. Alone, only that one fails."""


class RaceError(BatchError):
    """Another node's batch was faster; decided again on what it left, this one may succeed."""

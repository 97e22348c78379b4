"""Moving expired rows out of the live table: a local projection, reversible, no entry.

Expiry itself is a function of state and time that every read applies, so the
move only keeps the live table small (decisions on expiry). A write that
arrives later with a later expiry brings the row back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.log.state import EntityKey
from app.store.protocol import Needs
from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.memory import Memory
    from app.store.writing.batch import Batch

_EXPIRED: Final = Query(
    "SELECT id FROM memories WHERE expires_at IS NOT NULL AND expires_at <= ?"
    " ORDER BY expires_at LIMIT ?"
)


@dataclass(slots=True)
class CollectJob:
    """One bounded step of collection in the writer's queue."""

    limit: int
    archive: bool
    done: Callable[[Sequence[Memory] | Exception], None]
    moved: list[Memory] = field(default_factory=list, init=False)

    @property
    def needs(self) -> Needs:
        """Nothing up front: which rows have expired is asked in the transaction."""
        return Needs()

    @property
    def weight(self) -> int:
        """As many rows as it may move."""
        return self.limit

    def run(self, batch: Batch) -> None:
        """Mark what has expired by now as collected."""
        self.moved.clear()
        found = batch.transaction.read(_EXPIRED, (batch.now, self.limit))
        ids = [cast("str", row[0]) for row in found]
        batch.workspace.prefetch([EntityKey("memory", one) for one in ids], ())
        for memory_id in ids:
            seen = batch.snapshot(memory_id)
            if seen is not None and seen.is_live and seen.is_expired(batch.now):
                batch.collect(memory_id, archive=self.archive)
                self.moved.append(seen.memory)

    def succeed(self) -> None:
        """Answer with the rows that moved."""
        self.done(self.moved)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)

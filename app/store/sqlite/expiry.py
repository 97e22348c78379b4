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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.memory import Memory
    from app.store.sqlite.batch import Batch

_EXPIRED: Final = (
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

    def run(self, batch: Batch) -> None:
        """Mark what has expired by now as collected."""
        self.moved.clear()
        ids = [
            cast("str", row[0])
            for row in batch.connection.execute(_EXPIRED, (batch.now, self.limit))
        ]
        batch.workspace.prefetch([EntityKey("memory", one) for one in ids], ())
        for memory_id in ids:
            found = batch.snapshot(memory_id)
            if found is not None and found.is_live and found.is_expired(batch.now):
                batch.collect(memory_id, archive=self.archive)
                self.moved.append(found.memory)

    def succeed(self) -> None:
        """Answer with the rows that moved."""
        self.done(self.moved)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)

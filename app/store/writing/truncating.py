"""Forgetting the oldest entries, a bounded step of the writer's at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.store.protocol import Needs
from app.store.writing.joining import begin_after
from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.store.writing.batch import Batch

STEP_ENTRIES: Final = 5_000
_HASH: Final = Query("SELECT hash FROM log_entries WHERE origin_no = ? AND seq = ?")


@dataclass(slots=True)
class TruncateJob:
    """One step; nothing is left to do when it forgot nothing."""

    floors: Mapping[str, int]
    done: Callable[[int | Exception], None]
    forgotten: int = field(default=0, init=False)

    @property
    def needs(self) -> Needs:
        """Nothing up front: an origin that is not here must not be made."""
        return Needs()

    @property
    def weight(self) -> int:
        """Two statements an origin."""
        return len(self.floors)

    def run(self, batch: Batch) -> None:
        """Raise floors, up to `STEP_ENTRIES` altogether."""
        self.forgotten = 0
        for end in batch.origins.known(self.floors):
            room = STEP_ENTRIES - self.forgotten
            floor = min(self.floors[end.origin], end.seq, end.floor_seq + room)
            if floor <= end.floor_seq:
                continue
            ((digest,),) = batch.transaction.read(_HASH, (end.origin_no, floor))
            begin_after(batch, end, floor, cast("bytes", digest))
            self.forgotten += floor - end.floor_seq

    def succeed(self) -> None:
        """Answer with how many went."""
        self.done(self.forgotten)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)

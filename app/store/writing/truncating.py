"""Forgetting the oldest entries, a bounded step of the writer's at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.log.hlc import HLC_MAX
from app.store.protocol import Needs
from app.store.writing.joining import begin_after
from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.store.writing.batch import Batch

STEP_ENTRIES: Final = 5_000
_LAST: Final = Query(
    "SELECT seq, hash FROM log_entries WHERE origin_no = ? AND seq > ? AND seq <= ? AND hlc < ?"
    " ORDER BY seq DESC LIMIT 1"
)


@dataclass(slots=True)
class TruncateJob:
    """One step; nothing is left to do when it forgot nothing."""

    floors: Mapping[str, int]
    done: Callable[[int | Exception], None]
    before: int = HLC_MAX
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
            found = batch.transaction.read(
                _LAST, (end.origin_no, end.floor_seq, floor, self.before)
            )
            for last, digest in cast("list[tuple[int, bytes]]", found):
                begin_after(batch, end, last, digest)
                self.forgotten += last - end.floor_seq

    def succeed(self) -> None:
        """Answer with how many went."""
        self.done(self.forgotten)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)

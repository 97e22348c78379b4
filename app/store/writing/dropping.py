"""Taking away states that every other node has forgotten, before this one came back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.log.hlc import Stamp
from app.log.registers import Written
from app.log.state import DELETED, EntityKey
from app.store.protocol import Needs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.log.registers import Cells
    from app.store.replica import StateRow
    from app.store.writing.batch import Batch

_LATER: Final = "~"
"""Behind an origin it makes a stamp that is later than the origin's own at the same clock."""


@dataclass(slots=True)
class DropJob:
    """Memories to take away, in the writer's queue."""

    rows: Sequence[StateRow]
    done: Callable[[int | Exception], None]
    dropped: int = field(default=0, init=False)

    @property
    def needs(self) -> Needs:
        """The states themselves."""
        return Needs(memories=[one.key for one in self.rows])

    @property
    def weight(self) -> int:
        """Each is as much work as a command."""
        return len(self.rows)

    def run(self, batch: Batch) -> None:
        """Let each die, so that all that shows it goes as it does with a delete; then drop it."""
        self.dropped = 0
        changed = batch.workspace.changes()
        for row in self.rows:
            batch.turns.step()
            key = EntityKey("memory", row.key)
            cells = batch.workspace.cells(key)
            if cells is None or key in changed or batch.stored.rows[key].row_hash != row.row_hash:
                continue
            batch.workspace.adopt(key, {"life": _death(cells, batch.now)})
            batch.drop(row.key)
            self.dropped += 1

    def succeed(self) -> None:
        """Answer with how many went."""
        self.done(self.dropped)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


def _death(cells: Cells, at: str) -> Written:
    life = cells.get("life")
    stamp = life.stamp if isinstance(life, Written) else Stamp(0, "")
    return Written([0, DELETED, None, at], Stamp(stamp.hlc, stamp.origin + _LATER))

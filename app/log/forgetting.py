"""What may be dropped of the dead: pure rules, the same on every node.

Below the floor are stamps whose entries everybody who counts has. A dead state that says nothing
newer is dropped. An entry from below that names a memory unknown here comes too late: nobody can
tell any more whether that memory was deleted. Unless it is the entry that made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.hlc import MAX_OFFSET_MS, pack
from app.log.registers import Written
from app.log.state import DELETED, PURGED, EntityKey

if TYPE_CHECKING:
    from app.log.canonical import Value
    from app.log.registers import Cells

FLOOR: Final = EntityKey("floor", "tombstones")
MARGIN: Final = pack(MAX_OFFSET_MS)
"""A floor lies at least so far below the entry that sets it."""
_DEAD: Final = frozenset({DELETED, PURGED})


def floor_of(cells: Cells | None) -> int:
    """The stamp that a floor's state gives; 0 without one."""
    return 0 if cells is None else cast("int", cells.get("below", 0))


def latest_stamp(cells: Cells) -> int:
    """The greatest clock among a state's stamps; 0 without any."""
    return max((cell.stamp.hlc for cell in cells.values() if isinstance(cell, Written)), default=0)


def is_forgotten(cells: Cells, below: int) -> bool:
    """Whether a memory is dead and says nothing that is not older than the floor."""
    life = cells.get("life")
    if not isinstance(life, Written):
        return False
    word = cast("list[Value]", life.value)[1]
    return word in _DEAD and latest_stamp(cells) < below


def makes(cells: Cells) -> bool:
    """Whether a write tells of its memory's making."""
    return "created" in cells


def is_outdated(mine: Cells, theirs: Cells | None, below: int) -> bool:
    """Whether a state here must give way to what somebody has who has everything from below.

    It is of a memory that was made below the floor, and of whose making the other knows nothing.
    """
    if theirs is not None and makes(theirs):
        return False
    made = mine.get("created")
    if isinstance(made, Written):
        return made.stamp.hlc < below
    return theirs is None and latest_stamp(mine) < below

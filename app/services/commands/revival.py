"""Stores under an id that was used before (decisions on registers: a store revives, it keeps)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from app.log.state import META_PREFIX, is_purged

if TYPE_CHECKING:
    from app.domain.memory import Memory
    from app.log.canonical import Value
    from app.log.entry import Draft
    from app.log.projection import Snapshot
    from app.log.registers import Cells


def is_usable(cells: Cells | None) -> bool:
    """Whether a store under this id can show: an erased one never comes back."""
    return cells is None or not is_purged(cells)


def without_leftovers(draft: Draft, before: Snapshot | None, after: Memory) -> Draft:
    """The draft of a whole row, which also clears metadata that only the row before had.

    A key bound to a deleted registration, for one, must not come back with the next one.
    """
    if before is None:
        return draft
    write = cast("dict[str, Value]", draft.payload["memory"])
    registers = cast("dict[str, Value]", write["registers"])
    cleared: dict[str, Value] = {
        META_PREFIX + key: []
        for key in before.memory.metadata
        if key not in after.metadata and META_PREFIX + key in before.cells
    }
    whole: Value = {**write, "registers": {**registers, **cleared}}
    return replace(draft, payload={**draft.payload, "memory": whole})

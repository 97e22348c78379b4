"""Ids that follow from a name, so that two nodes which make the same thing make one thing."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid5

from app.log.state import EntityKey, is_purged

if TYPE_CHECKING:
    from app.services.caller import Caller
    from app.store.protocol import View

_SPACE: Final = UUID("6f1a4f0e-6a3b-5d0a-9a55-1d9c1f1c2b77")
"""Drawn once; another one would give every entity a second id."""


def derived_id(kind: str, namespace: str, title: str, generation: int = 0) -> str:
    """The id of the thing of this kind and name, version 5 of RFC 9562."""
    return str(uuid5(_SPACE, "\x1f".join((kind, namespace, title, str(generation)))))


def free_derived_id(view: View, kind: str, namespace: str, title: str, caller: Caller) -> str:
    """The first id of this name that may be written as a new row.

    Passed over are ids that were erased (they never come back), that live on under another title,
    and dead ones of another agent, who would own the row again.
    """
    for generation in count():
        memory_id = derived_id(kind, namespace, title, generation)
        cells = view.cells(EntityKey("memory", memory_id))
        if cells is None:
            return memory_id
        found = view.snapshot(memory_id)
        if found is None:
            if not is_purged(cells):
                return memory_id
            continue
        takes_place = not found.is_live or (
            found.is_expired(view.now) and found.memory.title == title
        )
        if takes_place and caller.owns(found.memory):
            return memory_id
    raise AssertionError("unreachable: count() does not end")

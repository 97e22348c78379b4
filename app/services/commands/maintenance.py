"""Writes of garbage collection: erasing old archive rows, unbinding dead standards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.log import drafts
from app.log.projection import life_of, project_standard
from app.log.state import LIVE, EntityKey
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.protocol import View
    from app.store.sql.statistics import Dangling


@dataclass(frozen=True, slots=True)
class EraseArchived:
    """Erase rows for good, unless one is back among the living by now."""

    ids: Sequence[str]
    actor: str

    @property
    def needs(self) -> Needs:
        return Needs(memories=self.ids)

    def decide(self, view: View) -> Decided[int]:
        """How many are erased."""
        gone = [one for one in self.ids if not _is_current(view, one)]
        purge = [drafts.purge(gone, self.actor, view.now)] if gone else []
        return Decided(lambda _: len(gone), purge)


@dataclass(frozen=True, slots=True)
class UnbindDeadStandards:
    """Take away standards whose memory was deleted or archived.

    One that is not known here stays: its memory may still be on its way.
    """

    found: Sequence[Dangling]
    actor: str

    @property
    def needs(self) -> Needs:
        return Needs(
            memories=[one.standard_id for one in self.found],
            keys=[EntityKey("standard", one.namespace) for one in self.found],
        )

    def decide(self, view: View) -> Decided[int]:
        """How many are unbound."""
        dead = [one for one in self.found if _is_bound(view, one) and _is_dead(view, one)]
        clears = [drafts.standard_clear(one.namespace, one.standard_id, self.actor) for one in dead]
        return Decided(lambda _: len(dead), clears)


def _is_current(view: View, memory_id: str) -> bool:
    snapshot = view.snapshot(memory_id)
    return snapshot is not None and snapshot.is_current(view.now)


def _is_bound(view: View, dangling: Dangling) -> bool:
    cells = view.cells(EntityKey("standard", dangling.namespace))
    standard = None if cells is None else project_standard(dangling.namespace, cells)
    return standard is not None and standard.standard_id == dangling.standard_id


def _is_dead(view: View, dangling: Dangling) -> bool:
    cells = view.cells(EntityKey("memory", dangling.standard_id))
    return cells is not None and life_of(cells) not in {None, LIVE}

"""States kept as bytes in a dictionary, and rows kept in step as a store would keep them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.log.names import claim_of
from app.log.projection import (
    EntityAlias,
    Snapshot,
    StandardBinding,
    project_alias,
    project_link,
    project_standard,
)
from app.log.state import EntityKey, decode_state, encode_state
from app.log.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.memory import MemoryLink
    from app.log.hlc import Stamp
    from app.log.names import Name
    from app.log.registers import Cells
    from tests.unit.log.strategies import Said


@dataclass
class Shelf:
    """A store without a disk."""

    states: dict[EntityKey, bytes] = field(default_factory=dict)
    rows: dict[str, Snapshot] = field(default_factory=dict)

    def load_states(self, keys: Iterable[EntityKey]) -> Mapping[EntityKey, Cells]:
        return {key: decode_state(key.kind, self.states[key]) for key in keys if key in self.states}

    def load_claims(self, names: Iterable[Name]) -> Mapping[Name, Mapping[str, Stamp]]:
        found: dict[Name, dict[str, Stamp]] = {name: {} for name in names}
        for key, data in self.states.items():
            claim = (
                claim_of(key.key, decode_state(key.kind, data)) if key.kind == "memory" else None
            )
            if claim is not None and claim[0] in found:
                found[claim[0]][key.key] = claim[1].stamp
        return found

    def apply(self, batch: Sequence[Said]) -> None:
        """One transaction."""
        work = Workspace(self)
        for entry in batch:
            work.apply(entry.kind, entry.payload, entry.stamp)
        self.commit(work)

    def commit(self, work: Workspace) -> None:
        touched = {key.key for key in work.changes() if key.kind == "memory"}
        for name in work.contested():
            touched.update(work.claims(name))
        rows = {memory_id: work.snapshot(memory_id) for memory_id in touched}
        for key in work.changes():
            cells = work.cells(key)
            assert cells is not None
            self.states[key] = encode_state(cells)
        for memory_id, row in rows.items():
            self.rows.pop(memory_id, None)
            if row is not None:
                self.rows[memory_id] = row

    def fresh_rows(self) -> dict[str, Snapshot]:
        """The rows as the states alone show them."""
        work = Workspace(self)
        found = {key.key: work.snapshot(key.key) for key in self.states if key.kind == "memory"}
        return {memory_id: row for memory_id, row in found.items() if row is not None}

    def others(self) -> dict[EntityKey, MemoryLink | EntityAlias | StandardBinding | None]:
        """Links, aliases and standards as they show."""
        projections = {"link": project_link, "alias": project_alias, "standard": project_standard}
        return {
            key: projections[key.kind](key.key, decode_state(key.kind, data))
            for key, data in self.states.items()
            if key.kind in projections
        }

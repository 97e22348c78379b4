"""Who belongs to the fleet, and how far each has come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from app.store.protocol import Needs
from app.store.replica import MemberRow
from app.store.tables import member_cursors
from app.store.writing.statements import Insert, Query, Replace, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.store.writing.batch import Batch
    from app.store.writing.port import Reader

_MEMBERS: Final = Query(
    "SELECT node_id, state, detail, updated_at FROM log_members ORDER BY node_id"
)
_CURSORS: Final = Query("SELECT node_id, origin, seq FROM member_cursors")
_COLUMNS: Final = ("node_id", "origin", "seq")
_NOTED: Final = Select(member_cursors, _COLUMNS, _COLUMNS[:2], for_change=True)
_NOTE: Final = Insert(member_cursors, _COLUMNS, Replace(_COLUMNS[:2], _COLUMNS[2:]))


def members(reader: Reader) -> Sequence[MemberRow]:
    """See `Replica.members`."""
    rows = cast("list[tuple[str, str, str, str]]", reader.read(_MEMBERS, ()))
    return [MemberRow(one, state, json.loads(detail), at) for one, state, detail, at in rows]


def cursors(reader: Reader) -> Mapping[str, Mapping[str, int]]:
    """See `Replica.member_cursors`."""
    found: dict[str, dict[str, int]] = {}
    for node_id, origin, seq in cast("list[tuple[str, str, int]]", reader.read(_CURSORS, ())):
        found.setdefault(node_id, {})[origin] = seq
    return found


@dataclass(frozen=True, slots=True)
class NoteJob:
    """Members' cursors in the writer's queue."""

    cursors: Mapping[str, Mapping[str, int]]
    done: Callable[[Exception | None], None]

    @property
    def needs(self) -> Needs:
        """Nothing that commands look at."""
        return Needs()

    @property
    def weight(self) -> int:
        """A row each, at most."""
        return sum(map(len, self.cursors.values()))

    def run(self, batch: Batch) -> None:
        """Write those that moved forward."""
        told = {
            (node_id, origin): seq
            for node_id, one in self.cursors.items()
            for origin, seq in one.items()
        }
        found = batch.transaction.read(_NOTED, list(told))
        known = {row[:2]: row[2] for row in cast("list[tuple[str, str, int]]", found)}
        for place, seq in told.items():
            if seq > known.get(place, 0):
                batch.write_later(_NOTE, (*place, seq))

    def succeed(self) -> None:
        """Answer."""
        self.done(None)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)

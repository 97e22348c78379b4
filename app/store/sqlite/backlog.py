"""Which live memories lack a current vector: kept in memory, derived from the tables at boot."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

from app.store.sqlite.stored import json_array
from app.store.writing.unembedded import text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import apsw

    from app.store.protocol import Accepts, Unembedded

_STATES: Final = (
    "SELECT s.id, s.state FROM memory_state AS s JOIN memories AS m ON m.id = s.id"
    " WHERE s.id IN (SELECT value FROM json_each(?))"
)


class Backlog:
    """An ordered map of memory ids to the origins of their texts, oldest first.

    An origin is None until somebody has looked: at boot only ids are read.
    """

    def __init__(self) -> None:
        self._origins: dict[str, str | None] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._origins)

    def start(self, ids: Iterable[str]) -> None:
        """Memories that lack a vector at boot."""
        with self._lock:
            self._origins.update(dict.fromkeys(ids))

    def add(self, origins: Mapping[str, str]) -> None:
        """Memories whose text is new go to the end."""
        with self._lock:
            for one, origin in origins.items():
                self._origins.pop(one, None)
                self._origins[one] = origin

    def discard(self, ids: Iterable[str]) -> None:
        """Memories that have a vector, or that left."""
        with self._lock:
            for one in ids:
                self._origins.pop(one, None)

    def read(
        self, connection: apsw.Connection, limit: int, accepts: Accepts | None
    ) -> Sequence[Unembedded]:
        """As `Store.unembedded`; what turns out to be gone is forgotten."""
        found: list[Unembedded] = []
        looked_at: set[str] = set()
        while len(found) < limit:
            ids = self._first(limit - len(found), accepts, looked_at)
            if not ids:
                break
            looked_at.update(ids)
            texts = _texts(connection, ids)
            self._learn(ids, texts)
            found += [
                one
                for one in (texts[memory_id] for memory_id in ids if memory_id in texts)
                if accepts is None or accepts(one.memory_id, one.origin)
            ]
        return found

    def _first(
        self, count: int, accepts: Accepts | None, looked_at: Collection[str]
    ) -> Sequence[str]:
        """The oldest that may be accepted."""
        with self._lock:
            waiting = list(self._origins.items())
        found: list[str] = []
        for one, origin in waiting:
            if len(found) == count:
                break
            is_refused = accepts is not None and origin is not None and not accepts(one, origin)
            if one not in looked_at and not is_refused:
                found.append(one)
        return found

    def _learn(self, ids: Iterable[str], texts: Mapping[str, Unembedded]) -> None:
        with self._lock:
            for one in ids:
                if one not in texts:
                    self._origins.pop(one, None)
                elif self._origins.get(one, "") is None:
                    self._origins[one] = texts[one].origin


def _texts(connection: apsw.Connection, ids: Sequence[str]) -> Mapping[str, Unembedded]:
    rows = cast("Iterable[tuple[str, bytes]]", connection.execute(_STATES, (json_array(ids),)))
    found = (text_of(memory_id, state) for memory_id, state in rows)
    return {one.memory_id: one for one in found if one is not None}

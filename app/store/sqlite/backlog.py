"""Which live memories lack a current vector: kept in memory, derived from the tables at boot."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Backlog:
    """An ordered set of memory ids, oldest first."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Iterable[str]) -> None:
        """Memories whose text is new go to the end."""
        with self._lock:
            for one in ids:
                self._ids.pop(one, None)
                self._ids[one] = None

    def discard(self, ids: Iterable[str]) -> None:
        """Memories that have a vector, or that left."""
        with self._lock:
            for one in ids:
                self._ids.pop(one, None)

    def first(self, count: int) -> list[str]:
        """The oldest `count`."""
        with self._lock:
            return [one for one, _ in zip(self._ids, range(count), strict=False)]

"""What each session was answered lately, in memory only (semantics 5.6)."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from app.domain.ranking import remember

if TYPE_CHECKING:
    from collections.abc import Sequence

_SESSIONS_MAX: Final = 1_000


class SessionRings:
    """The newest 50 ids of each of the newest `sessions_max` sessions.

    `key` should hold the caller beside the session id: two callers may choose the same id.
    """

    def __init__(self, sessions_max: int = _SESSIONS_MAX) -> None:
        self._sessions_max = sessions_max
        self._rings: OrderedDict[str, deque[str]] = OrderedDict()

    def recent(self, key: str | None) -> frozenset[str]:
        if key is None or key not in self._rings:
            return frozenset()
        self._rings.move_to_end(key)
        return frozenset(self._rings[key])

    def note(self, key: str | None, ids: Sequence[str]) -> None:
        if key is None:
            return
        remember(self._rings.setdefault(key, deque()), ids)
        self._rings.move_to_end(key)
        while len(self._rings) > self._sessions_max:
            self._rings.popitem(last=False)

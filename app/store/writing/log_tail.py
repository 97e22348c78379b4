"""The newest entries of the own log, kept in memory: what peers ask for right after each commit.

They would be read, hashed and decoded again for every peer. Only what is committed comes in here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from app.log.entry import GENESIS_HASH
from app.store.replica import LogRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.log.entry import Entry

_BYTES_MAX: Final = 4 * 1024 * 1024


class LogTail:
    """Filled by the writer's thread, read by the event loop."""

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._bytes = 0

    def add(self, entries: Sequence[Entry]) -> None:
        """Entries of one origin that were committed, in order."""
        if not entries:
            return
        with self._lock:
            kept = self._entries
            if kept and (kept[-1].origin, kept[-1].seq + 1) != (entries[0].origin, entries[0].seq):
                kept, self._bytes = [], 0
            kept.extend(entries)
            self._entries = kept
            self._bytes += sum(map(entry_bytes, entries))
            if self._bytes > self._bytes_max:
                self._shorten()

    def _shorten(self) -> None:
        """Keep the newer half, so that this costs little an entry."""
        gone = 0
        while gone < len(self._entries) - 1 and 2 * self._bytes > self._bytes_max:
            self._bytes -= entry_bytes(self._entries[gone])
            gone += 1
        del self._entries[:gone]

    def forget(self) -> None:
        """Content was erased: it must not live on here."""
        with self._lock:
            self._entries, self._bytes = [], 0

    def run(self, origin: str, after: int, bytes_max: int) -> LogRun | None:
        """As `Replica.log_run`; None also if the entries are not here."""
        with self._lock:
            kept = self._entries
            if not kept or kept[0].origin != origin:
                return None
            start = after + 1 - kept[0].seq
            if start >= len(kept) or start < 0 or (start == 0 and after > 0):
                return None  # the hash before the first one kept is not known
            previous = GENESIS_HASH if start == 0 else kept[start - 1].hash
            taken = within(kept, start, bytes_max)
        return LogRun(origin, after, previous, taken, None)

    def ends_at(self, origin: str, after: int) -> bool:
        """Whether it is known that nothing follows `after`."""
        with self._lock:
            kept = self._entries
            return bool(kept) and (kept[-1].origin, kept[-1].seq) == (origin, after)


def within(entries: Sequence[Entry], start: int, bytes_max: int) -> tuple[Entry, ...]:
    """As many from `start` on as fit, and at least one."""
    left, stop = bytes_max, start
    while stop < len(entries):
        left -= entry_bytes(entries[stop])
        if left < 0 and stop > start:
            break
        stop += 1
    return tuple(entries[start:stop])


def entry_bytes(entry: Entry) -> int:
    """What an entry weighs where bytes are counted."""
    return len(entry.header) + (0 if entry.payload is None else len(entry.payload))

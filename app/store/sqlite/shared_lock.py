"""A lock that many readers share and one writer takes alone, fair to both sides."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class SharedLock:
    """Phase-fair: a waiting writer stops new readers, a leaving one lets waiting readers in first.

    So neither a steady stream of searches nor a loop of small writes can starve
    the other side. Not reentrant.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._readers_waiting = 0
        self._readers_granted = 0
        self._writing = False
        self._writers_waiting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold together with other readers."""
        with self._changed:
            self._readers_waiting += 1
            while self._writing or (self._writers_waiting and not self._readers_granted):
                self._changed.wait()
            self._readers_waiting -= 1
            self._readers_granted = max(0, self._readers_granted - 1)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold alone."""
        with self._changed:
            self._writers_waiting += 1
            while self._writing or self._readers or self._readers_granted:
                self._changed.wait()
            self._writers_waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._readers_granted = self._readers_waiting
                self._changed.notify_all()

"""The real clock, chance and disk: the only place in the product that reads them."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_ID_BYTES: Final = 16
_IDS_A_DRAW: Final = 256


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemIds:
    """Random identifiers from the operating system. May be used by several threads.

    Bytes for many are drawn at once: each draw gives up the interpreter lock, and a writer that is
    at work keeps it for a while.
    """

    def __init__(self) -> None:
        self._drawn: deque[bytes] = deque()
        self._process = os.getpid()

    def uuid4(self) -> str:
        if self._process != os.getpid():  # a fork must not give out what its parent does
            self._drawn, self._process = deque(), os.getpid()
        try:
            drawn = self._drawn.popleft()
        except IndexError:
            drawn, *more = _cut(os.urandom(_IDS_A_DRAW * _ID_BYTES))
            self._drawn.extend(more)
        return str(uuid.UUID(bytes=drawn, version=4))


def _cut(drawn: bytes) -> list[bytes]:
    return [drawn[at : at + _ID_BYTES] for at in range(0, len(drawn), _ID_BYTES)]


class SystemRandomness:
    """Unguessable bytes from the operating system."""

    def token(self, byte_count: int) -> bytes:
        return secrets.token_bytes(byte_count)


class SystemDisk:
    """`fsync`, of files and of folders."""

    def file(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

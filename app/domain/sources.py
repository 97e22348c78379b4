"""Ports for everything that is not a pure function: time, chance, disk, exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


class Clock(Protocol):
    """Wall time for stamps and monotonic time for durations."""

    def now(self) -> datetime:
        """Aware UTC time."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...


class IdSource(Protocol):
    """Where new identifiers come from."""

    def uuid4(self) -> str:
        """A random UUID, RFC 9562 version 4, in its 36-character form."""
        ...


class Randomness(Protocol):
    """Where secret or unguessable bytes come from."""

    def token(self, byte_count: int) -> bytes:
        """`byte_count` unguessable bytes."""
        ...


class DiskSync(Protocol):
    """The moment at which bytes are promised to survive a power loss."""

    def file(self, descriptor: int) -> None:
        """Flush one open file."""
        ...

    def directory(self, path: Path) -> None:
        """Flush a directory, so that a rename in it survives."""
        ...


class Exit(Protocol):
    """How the process ends itself."""

    def __call__(self, code: int) -> NoReturn:
        """Leave with `code`."""
        ...

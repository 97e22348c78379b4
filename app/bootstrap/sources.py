"""The real clock, chance and disk: the only place in the product that reads them."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemIds:
    """Random identifiers from the operating system."""

    def uuid4(self) -> str:
        return str(uuid.uuid4())


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

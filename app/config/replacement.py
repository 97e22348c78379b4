"""Puts a changed file in place of the old one in one step, and keeps the old one beside it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.domain.sources import DiskSync

_OWNER_ONLY: Final = 0o600


def replace_keeping_backup(path: Path, after: bytes, now: datetime, sync: DiskSync) -> Path:
    """Replace the content of `path`; returns the copy of the old, `<name>.bak.<time>`.

    Mode is kept. After a crash at any moment `path` holds the old or the new content, whole.

    Raises:
        OSError: something cannot be read or written; `path` is as it was.
    """
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
    mode = path.stat().st_mode & 0o777
    backup = path.with_name(f"{path.name}.bak.{stamp}")
    fresh = path.with_name(f"{path.name}.new.{stamp}")
    _write_new(backup, path.read_bytes(), mode, sync)
    try:
        _write_new(fresh, after, mode, sync)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync.directory(path.parent)
    return backup


def _write_new(path: Path, content: bytes, mode: int, sync: DiskSync) -> None:
    # Never readable by more than the old file was, not even for a moment.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        sync.file(file.fileno())
    path.chmod(mode)

"""The file that stays where a node runs and says who it is; see `app.log.epochs`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.log.epochs import parse_sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from app.domain.sources import DiskSync
    from app.log.epochs import Sidecar


def read_sidecar(path: Path) -> Sidecar | None:
    """What the file says; None if it is missing or damaged."""
    return parse_sidecar(path.read_text(errors="replace")) if path.exists() else None


def write_durably(path: Path, text: str, sync: DiskSync) -> None:
    """Replace a file so that after a power loss it is the old one or the new one, whole."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, text.encode())
        sync.file(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync.directory(path.parent)

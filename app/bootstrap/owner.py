"""Who has a store open. Light to import, for commands that only want to ask a running node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.store.sqlite.ownership import SERVE, read_owner

if TYPE_CHECKING:
    from pathlib import Path


def control_socket(database: Path) -> str | None:
    """Where the node that has the store open says it listens; stale unless somebody does."""
    owner = read_owner(database)
    return owner.socket if owner is not None and owner.role == SERVE else None

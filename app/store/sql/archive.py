"""Reads of the archive: rows moved there by an entry, and rows that only expired."""

from __future__ import annotations

from app.store.sql.selects import Selects


class ArchiveReads(Selects):
    """Reads of the archive: rows moved there by an entry, and rows that only expired."""

"""Reads of links and the knowledge graph."""

from __future__ import annotations

from app.store.sql.selects import Selects


class LinkReads(Selects):
    """Reads of links and the knowledge graph."""

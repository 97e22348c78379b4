"""Reads of namespaces: counts, tree, standards."""

from __future__ import annotations

from app.store.sql.selects import Selects


class NamespaceReads(Selects):
    """Reads of namespaces: counts, tree, standards."""

"""Counts for operators."""

from __future__ import annotations

from app.store.sql.selects import Selects


class StatisticsReads(Selects):
    """Counts for operators."""

"""Reads of the node's own records: subscriptions, quotas, aliases."""

from __future__ import annotations

from app.store.sql.selects import Selects


class RecordReads(Selects):
    """Reads of the node's own records: subscriptions, quotas, aliases."""

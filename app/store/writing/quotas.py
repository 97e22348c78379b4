"""Quota counters of one batch (semantics 9): read in bulk, counted in memory, written once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.domain.errors import QuotaExceededError
from app.store.tables import agent_quotas
from app.store.writing.statements import Insert, Replace, Select

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.store.protocol import Charge, QuotaLimits
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Transaction

AGGREGATE: Final = "_global"
UNLIMITED: Final = (1 << 53) - 1
"""How "no limit" is stored: the greatest integer that every JSON reader keeps exact."""

_COLUMNS: Final = (
    "agent_id",
    "namespace",
    "max_memories_per_day",
    "max_storage_bytes",
    "max_links_per_day",
    "current_memories_today",
    "current_storage_bytes",
    "current_links_today",
    "day_started_at",
    "created_at",
    "updated_at",
)
_KEYS: Final = ("agent_id", "namespace")
_SELECT: Final = Select(agent_quotas, _COLUMNS, _KEYS, for_change=True)
_NEW: Final = Insert(agent_quotas, _COLUMNS)
_UPSERT: Final = Insert(
    agent_quotas,
    _COLUMNS,
    Replace(_KEYS, tuple(one for one in _COLUMNS[5:] if one != "created_at")),
)


@dataclass(frozen=True, slots=True)
class _Counters:
    agent_id: str
    namespace: str
    max_memories: int
    max_bytes: int
    max_links: int
    memories: int
    storage_bytes: int
    links: int
    day: str
    created_at: str
    updated_at: str


class QuotaLedger:
    """The counters as a batch moves them; `mark` and `undo` bracket one command."""

    def __init__(self, transaction: Transaction, now: str) -> None:
        self._transaction = transaction
        self._now = now
        self._rows: dict[tuple[str, str], _Counters | None] = {}
        self._stored: set[tuple[str, str]] = set()
        self._changed: dict[tuple[str, str], None] = {}
        self._undo: list[tuple[tuple[str, str], _Counters | None]] = []

    def prefetch(self, keys: Iterable[tuple[str, str]]) -> None:
        """Load the counters of (agent, namespace) pairs, and each agent's aggregate."""
        wanted = dict.fromkeys(
            pair
            for agent_id, namespace in keys
            for pair in ((agent_id, namespace), (agent_id, AGGREGATE))
            if pair not in self._rows
        )
        if not wanted:
            return
        self._rows.update(dict.fromkeys(wanted))
        for row in self._transaction.read(_SELECT, list(wanted)):
            counters = _Counters(*row)  # type: ignore[arg-type]  # the columns above, in order
            self._rows[counters.agent_id, counters.namespace] = counters
            self._stored.add((counters.agent_id, counters.namespace))

    def mark(self) -> None:
        """Start a step that `undo` takes back."""
        self._undo.clear()

    def undo(self) -> None:
        """Take back every charge since `mark`."""
        while self._undo:
            key, before = self._undo.pop()
            self._rows[key] = before

    def charge(self, cost: Charge, limits: QuotaLimits) -> None:
        """Count a cost against the namespace and the aggregate.

        Raises:
            QuotaExceededError: either would pass its limit; nothing is counted.
        """
        self.prefetch([(cost.agent_id, cost.namespace)])
        keys = dict.fromkeys([(cost.agent_id, cost.namespace), (cost.agent_id, AGGREGATE)])
        counted = {key: self._counted(key, cost, limits) for key in keys}
        for key, counters in counted.items():
            self._undo.append((key, self._rows[key]))
            self._rows[key] = counters
            self._changed[key] = None

    def _counted(self, key: tuple[str, str], cost: Charge, limits: QuotaLimits) -> _Counters:
        row = self._rows[key] or self._fresh(key, limits)
        if row.day[:10] != self._now[:10]:  # a whole timestamp where the column is one
            row = replace(row, memories=0, links=0, day=self._now[:10])
        checks = (
            ("memories_per_day", row.memories, cost.memories, row.max_memories),
            ("storage_bytes", row.storage_bytes, cost.storage_bytes, row.max_bytes),
            ("links_per_day", row.links, cost.links, row.max_links),
        )
        unlimited = (limits.memories_per_day, limits.storage_bytes, limits.links_per_day)
        for (name, current, added, most), limit in zip(checks, unlimited, strict=True):
            if added and limit is not None and current + added > most:
                raise QuotaExceededError(
                    f"QUOTA_EXCEEDED: agent {cost.agent_id} namespace {cost.namespace}"
                    f" hit {name} (current={current}, max={most})",
                    limit=name,
                    current=current,
                    max=most,
                    agent_id=cost.agent_id,
                )
        return replace(
            row,
            memories=row.memories + cost.memories,
            storage_bytes=row.storage_bytes + cost.storage_bytes,
            links=row.links + cost.links,
            updated_at=self._now,
        )

    def _fresh(self, key: tuple[str, str], limits: QuotaLimits) -> _Counters:
        def stored(limit: int | None) -> int:
            return UNLIMITED if limit is None else limit

        return _Counters(
            agent_id=key[0],
            namespace=key[1],
            max_memories=stored(limits.memories_per_day),
            max_bytes=stored(limits.storage_bytes),
            max_links=stored(limits.links_per_day),
            memories=0,
            storage_bytes=0,
            links=0,
            day=self._now[:10],
            created_at=self._now,
            updated_at=self._now,
        )

    def flush(self) -> None:
        """Write the counters that moved."""
        changed: list[tuple[SqlValue, ...]] = []
        new: list[tuple[SqlValue, ...]] = []
        for key in self._changed:
            counters = self._rows[key]
            if counters is not None:
                (changed if key in self._stored else new).append(_values(counters))
        self._transaction.write(_NEW, new)
        self._transaction.write(_UPSERT, changed)


def _values(row: _Counters) -> tuple[SqlValue, ...]:
    """In the order of `_COLUMNS`."""
    return (
        row.agent_id,
        row.namespace,
        row.max_memories,
        row.max_bytes,
        row.max_links,
        row.memories,
        row.storage_bytes,
        row.links,
        row.day,
        row.created_at,
        row.updated_at,
    )

"""Requests' keys, kept in the transaction of what the request wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import IdempotencyKeyTakenError
from app.store.tables import idempotency_keys
from app.store.writing.statements import Insert, Replace, Select

if TYPE_CHECKING:
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Transaction
    from app.store.writing.written import IdempotencyKey

_KEYS: Final = ("key", "actor")
_COLUMNS: Final = (
    *_KEYS,
    "fingerprint",
    "status",
    "answer",
    "origin",
    "seq",
    "entity_id",
    "expires_at",
)
_FOUND: Final = Select(idempotency_keys, ("expires_at",), _KEYS, for_change=True)
_NEW: Final = Insert(idempotency_keys, _COLUMNS)
_AGAIN: Final = Insert(idempotency_keys, _COLUMNS, Replace(_KEYS, _COLUMNS[2:]))


class KeyLedger:
    """The keys that one batch takes; `mark` and `undo` bracket one command."""

    def __init__(self, transaction: Transaction, now: str) -> None:
        self._transaction = transaction
        self._now = now
        self._taken: dict[tuple[str, str], IdempotencyKey] = {}
        self._rows: list[tuple[Insert, tuple[SqlValue, ...]]] = []
        self._marked = 0

    def mark(self) -> None:
        """Start a step that `undo` takes back."""
        self._marked = len(self._rows)

    def undo(self) -> None:
        """Give back what was taken since `mark`."""
        for _, row in self._rows[self._marked :]:
            del self._taken[cast("tuple[str, str]", row[:2])]
        del self._rows[self._marked :]

    def take(self, key: IdempotencyKey, origin: str, seq: int, entity_id: str | None) -> None:
        """Bind a request's key to what the request wrote, once.

        Raises:
            IdempotencyKeyTakenError: by another request, which was faster.
        """
        name = (key.key, key.actor)
        if key.is_taken or self._taken.get(name) is key:
            return
        found = self._transaction.read(_FOUND, [name])
        if name in self._taken or any(cast("str", row[0]) > self._now for row in found):
            raise IdempotencyKeyTakenError("another request with this key was faster")
        self._taken[name] = key
        row = (*name, key.fingerprint, None, None, origin, seq, entity_id, key.expires_at)
        self._rows.append((_AGAIN if found else _NEW, row))

    def flush(self) -> None:
        """Write the rows."""
        for statement, row in self._rows:
            self._transaction.write(statement, [row])

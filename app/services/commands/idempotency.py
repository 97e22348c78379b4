"""What a keyed request was answered, kept beside its key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.store.protocol import Decided, LocalRow, Needs

if TYPE_CHECKING:
    from app.store.protocol import View
    from app.store.sql.records import IdempotencyRow

_TABLE: Final = "idempotency_keys"


@dataclass(frozen=True, slots=True)
class KeepAnswer:
    """Complete the row that the request's first entry brought with it."""

    kept: IdempotencyRow

    @property
    def needs(self) -> Needs:
        """Nothing of the state."""
        return Needs()

    def decide(self, view: View) -> Decided[None]:  # noqa: ARG002 - the port's shape
        """The whole row again, now with the answer."""
        kept = self.kept
        values = {
            "fingerprint": kept.fingerprint,
            "status": kept.status,
            "answer": kept.answer,
            "origin": kept.origin,
            "seq": kept.seq,
            "entity_id": kept.entity_id,
            "expires_at": kept.expires_at,
        }
        key = {"key": kept.key, "actor": kept.actor}
        return Decided(lambda _: None, rows=(LocalRow(_TABLE, key, values),))


@dataclass(frozen=True, slots=True)
class ForgetAnswers:
    """Drop keys whose time is over."""

    keys: tuple[tuple[str, str], ...]
    """(key, actor) of each."""

    @property
    def needs(self) -> Needs:
        """Nothing of the state."""
        return Needs()

    def decide(self, view: View) -> Decided[None]:  # noqa: ARG002 - the port's shape
        """One row each, gone."""
        rows = tuple(
            LocalRow(_TABLE, {"key": key, "actor": actor}, None) for key, actor in self.keys
        )
        return Decided(lambda _: None, rows=rows)

"""What a request wrote, for whoever answers it: copies are awaited once, for all of it.

The surface sets `WRITTEN` before it hands a request on and looks at it afterwards. Tasks that the
request starts inherit it; what outlives requests must be started outside of one.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final


@dataclass(slots=True, eq=False)
class IdempotencyKey:
    """What makes a request's repetition known. `expires_at` is canonical text.

    `fingerprint` is a hash of all that another request with the same key may not change.
    """

    key: str
    actor: str
    fingerprint: bytes
    expires_at: str
    is_taken: bool = False
    """Whether something that the request wrote is durable, and with it the key's row."""


@dataclass(slots=True)
class Written:
    """The entries of one request. With `idempotency`, its first command that appends takes it."""

    idempotency: IdempotencyKey | None = None
    runs: list[tuple[str, range]] = field(default_factory=list)
    """(origin, numbers of the entries), in the order of their receipts."""

    def note(self, origin: str, seqs: range) -> None:
        """Entries of the request are durable here."""
        if seqs:
            self.runs.append((origin, seqs))


WRITTEN: Final[ContextVar[Written | None]] = ContextVar("written", default=None)

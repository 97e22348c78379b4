"""What a request wrote, for whoever answers it: copies are awaited once, for all of it.

The surface runs each request within `noting` and looks at what was noted afterwards. Tasks that the
request starts inherit it; what outlives requests must be started outside of one.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.log.causal import token_of
from app.log.cursor import VectorClock

if TYPE_CHECKING:
    from collections.abc import Iterator


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

    @property
    def token(self) -> str | None:
        """What stands for it to a client; None if nothing was written."""
        ends: dict[str, int] = {}
        for origin, seqs in self.runs:
            ends[origin] = max(seqs[-1], ends.get(origin, 0))
        return token_of(VectorClock(ends)) if ends else None


WRITTEN: Final[ContextVar[Written | None]] = ContextVar("written", default=None)


@contextmanager
def noting(written: Written) -> Iterator[Written]:
    """Whatever is written within is noted there."""
    before = WRITTEN.set(written)
    try:
        yield written
    finally:
        WRITTEN.reset(before)


def written_now() -> Written:
    """What the request that runs has written so far.

    Raises:
        LookupError: this is no request's task.
    """
    found = WRITTEN.get()
    if found is None:
        raise LookupError("nothing is noted here")
    return found

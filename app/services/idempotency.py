"""Repeated requests: the same key within a day gets the first one's answer.

After the IETF draft "The Idempotency-Key HTTP Header Field": the key is the client's, one a
request; the same key with another request is an error. The key's row is written in the
transaction of what the request wrote, so there is no moment at which a retry could write again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import format_instant
from app.services.commands.idempotency import ForgetAnswers, KeepAnswer
from app.store.writing.written import IdempotencyKey

if TYPE_CHECKING:
    from app.domain.sources import Clock
    from app.store.protocol import Store
    from app.store.sql.records import IdempotencyRow

KEPT: Final = timedelta(hours=24)
KEY_CHARACTERS_MAX: Final = 255
_FORGOTTEN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request that carries a key. `fingerprint` covers method, address and body."""

    key: str
    actor: str
    fingerprint: bytes


class IdempotencyService:
    """Finds, keeps and forgets the answers of keyed requests."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def find(self, request: Repeatable) -> IdempotencyRow | None:
        """What is known of the key; its `status` is None while there is no answer yet."""
        now = format_instant(self._clock.now())
        row = await self._store.idempotency_row(request.key, request.actor)
        return None if row is None or row.expires_at <= now else row

    def claim(self, request: Repeatable) -> IdempotencyKey:
        """The key, for the transaction of what the request will write."""
        expires_at = format_instant(self._clock.now() + KEPT)
        return IdempotencyKey(request.key, request.actor, request.fingerprint, expires_at)

    async def keep(
        self, request: Repeatable, status: int, answer: bytes, *, origin: str, seq: int
    ) -> None:
        """Keep the answer of a request that has written, the last time `seq` of `origin`."""
        found = await self.find(request)
        if found is not None:
            kept = replace(found, status=status, answer=answer, origin=origin, seq=seq)
            await self._store.submit(KeepAnswer(kept))

    async def forget(self) -> int:
        """Drop some of the keys whose time is over; how many."""
        now = format_instant(self._clock.now())
        over = await self._store.expired_keys(now, _FORGOTTEN_MAX)
        if over:
            await self._store.submit(ForgetAnswers(tuple(over)))
        return len(over)

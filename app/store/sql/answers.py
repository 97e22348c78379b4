"""Reads of keyed requests' answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy import select

from app.store.sql.selects import Selects
from app.store.tables import idempotency_keys

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A keyed request that has written, and what it was answered.

    `status` and `answer` are None until it was: the node is at it, or stopped in between.
    `origin` and `seq` name the last entry that is known to be the request's.
    """

    key: str
    actor: str
    fingerprint: bytes
    status: int | None
    answer: bytes | None
    origin: str
    seq: int
    entity_id: str | None
    expires_at: str


class AnswerReads(Selects):
    """By key, and those whose time is over."""

    async def kept_answer(self, key: str, actor: str, now: str) -> KeptAnswer | None:
        """What is known of a key that still counts."""
        rows = await self.select(
            select(*idempotency_keys.c).where(
                idempotency_keys.c.key == key,
                idempotency_keys.c.actor == actor,
                idempotency_keys.c.expires_at > now,
            )
        )
        if not rows:
            return None
        row = rows[0]
        return KeptAnswer(
            key=cast("str", row["key"]),
            actor=cast("str", row["actor"]),
            fingerprint=cast("bytes", row["fingerprint"]),
            status=cast("int | None", row["status"]),
            answer=cast("bytes | None", row["answer"]),
            origin=cast("str", row["origin"]),
            seq=cast("int", row["seq"]),
            entity_id=cast("str | None", row["entity_id"]),
            expires_at=cast("str", row["expires_at"]),
        )

    async def expired_answers(self, now: str, limit: int) -> Sequence[tuple[str, str]]:
        """(key, actor) of keys that no longer count, the oldest first."""
        rows = await self.select(
            select(idempotency_keys.c.key, idempotency_keys.c.actor)
            .where(idempotency_keys.c.expires_at <= now)
            .order_by(idempotency_keys.c.expires_at)
            .limit(limit)
        )
        return [(cast("str", row["key"]), cast("str", row["actor"])) for row in rows]

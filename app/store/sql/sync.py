"""Reads for v0.7.0's wire: rows by the time of their last update, cursors, nonces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import and_, select

from app.domain.timestamps import format_instant, parse_instant
from app.store.sql.expressions import is_foreign_text
from app.store.sql.filters import MemoryFilter, conditions
from app.store.sql.memories import MEMORY_COLUMNS, memory_of
from app.store.sql.selects import Selects
from app.store.tables import federation_nonce_cache, memories, sync_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement

    from app.domain.memory import Memory

_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_INSTANT: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UpdatedRows:
    """Rows in no order. `until`: later ones than that, in canonical text, may be missing."""

    memories: Sequence[Memory]
    until: str | None


@dataclass(frozen=True, slots=True)
class SyncPosition:
    """How far this node has come with a v0.7.0 peer; texts are the peer's own, None is never."""

    pulled_to: str | None
    """The last update that was taken over."""
    pulled_at: str | None
    pushed_to: str | None
    """The last own update that the peer has."""


@dataclass(frozen=True, slots=True)
class KeptNonce:
    """A nonce that was used."""

    peer_id: str
    fingerprint: bytes
    last_touch: int
    """Milliseconds since 1970."""


class SyncReads(Selects):
    """What v0.7.0's sync routes and client read."""

    async def updated_after(
        self, chosen: MemoryFilter, since: str | None, limit: int
    ) -> UpdatedRows:
        """At least `limit` rows, if there are so many, updated after `since` (canonical text).

        All rows of one microsecond come together, so that a cursor on the last one skips none.
        Rows whose time stands in a form that says nothing of its order come with every page.
        """
        updated_at = memories.c.updated_at
        wanted: list[ColumnElement[bool]] = [conditions(chosen), ~is_foreign_text(updated_at)]
        if since is not None:
            wanted.append(updated_at > since)
        last = await self.select(
            select(updated_at).where(and_(*wanted)).order_by(updated_at).limit(1).offset(limit - 1)
        )
        until = None
        if last:
            end = parse_instant(cast("str", last[0]["updated_at"]))
            if end < _LAST_INSTANT:
                until = format_instant(end + _MICROSECOND)
                wanted.append(updated_at < until)
        rows = await self.select(select(*MEMORY_COLUMNS).where(and_(*wanted)))
        foreign = await self.select(
            select(*MEMORY_COLUMNS).where(conditions(chosen), is_foreign_text(updated_at))
        )
        return UpdatedRows([memory_of(row) for row in (*rows, *foreign)], until)

    async def sync_position(self, agent_id: str, peer_id: str) -> SyncPosition:
        """How far `agent_id` has come with a peer."""
        rows = await self.select(
            select(
                sync_state.c.last_seen_at, sync_state.c.last_pulled_at, sync_state.c.last_pushed_at
            ).where(sync_state.c.agent_id == agent_id, sync_state.c.peer_id == peer_id)
        )
        if not rows:
            return SyncPosition(None, None, None)
        seen, pulled, pushed = (
            cast("str | None", rows[0][name])
            for name in ("last_seen_at", "last_pulled_at", "last_pushed_at")
        )
        return SyncPosition(seen, pulled, pushed)

    async def kept_nonces(self, limit: int) -> Sequence[KeptNonce]:
        """The latest nonces, oldest first."""
        c = federation_nonce_cache.c
        rows = await self.select(
            select(c.peer_id, c.fingerprint, c.last_touch)
            .order_by(c.last_touch.desc())
            .limit(limit)
        )
        return [
            KeptNonce(
                cast("str", row["peer_id"]),
                cast("bytes", row["fingerprint"]),
                cast("int", row["last_touch"]),
            )
            for row in reversed(rows)
        ]

"""`pending`, `vote`, `decision`: an action that waits for approval.

A decision carries its result, so that every node has the same ids. Of several
decisions a rejection wins, then the earliest (design section 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.kinds.effect import Effect, items, mapping, refuse, text
from app.log.kinds.memory_writes import memory_effect
from app.log.registers import Written
from app.log.state import VOTE_PREFIX, EntityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp


class Pending:
    """Payload `{"pending_id", "request": {…}}`."""

    name = "pending"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The request as first made."""
        key = EntityKey("pending", text(payload, "pending_id"))
        request = mapping(payload.get("request"), "request")
        return (Effect(key, {"request": Written(request, stamp)}),)


class Vote:
    """Payload `{"pending_id", "agent_id", "approved_at"}`."""

    name = "vote"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """One vote an agent, the first one."""
        voter = text(payload, "agent_id")
        if not voter:
            raise refuse("a vote without a voter")
        key = EntityKey("pending", text(payload, "pending_id"))
        return (Effect(key, {VOTE_PREFIX + voter: Written(text(payload, "approved_at"), stamp)}),)


class Decision:
    """Payload `{"pending_id", "approve", "decider", "decided_at", "memories": [write]}`."""

    name = "decision"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The decision and what it did."""
        approve = payload.get("approve")
        if not isinstance(approve, bool):
            raise refuse("approve is not a boolean")
        value: list[Value] = [int(approve), text(payload, "decider"), text(payload, "decided_at")]
        key = EntityKey("pending", text(payload, "pending_id"))
        return [
            Effect(key, {"decision": Written(value, stamp)}),
            *(memory_effect(one, stamp) for one in items(payload, "memories")),
        ]

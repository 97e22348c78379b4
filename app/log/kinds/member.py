"""`member`: a node joined, left, or was declared expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.kinds.effect import Effect, refuse, text
from app.log.registers import Written
from app.log.state import EntityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp

JOINED: Final = "joined"
LEFT: Final = "left"
EXPIRED: Final = "expired"
MEMBERSHIPS: Final = frozenset({JOINED, LEFT, EXPIRED})


class Member:
    """Payload `{"node_id", "state", "detail"}`."""

    name = "member"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The last word on a node's membership."""
        state = text(payload, "state")
        if state not in MEMBERSHIPS:
            raise refuse(f"unknown membership {state!r}")
        value: list[Value] = [state, payload.get("detail")]
        key = EntityKey("member", text(payload, "node_id"))
        return (Effect(key, {"membership": Written(value, stamp)}),)

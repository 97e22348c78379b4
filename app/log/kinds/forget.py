"""`forget`: every member has all entries before a stamp, so tombstones from before it may go.

They are dropped in the transaction that applies the entry. So nodes that have the same entries
still hold the same states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.forgetting import FLOOR, MARGIN
from app.log.kinds.effect import Effect, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp


class Forget:
    """Payload `{"below"}`: a clock, well below the entry's own."""

    name = "forget"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The floor, which never sinks."""
        below = payload.get("below")
        if not isinstance(below, int) or isinstance(below, bool):
            raise refuse("below is no clock")
        if not 0 <= below <= max(0, stamp.hlc - MARGIN):
            raise refuse("below is not well before the entry")
        return (Effect(FLOOR, {"below": below}),)

"""`consolidate`: one new memory in place of several, as one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.kinds.effect import Effect, instant, items, texts
from app.log.kinds.life import lives
from app.log.kinds.links import link_effect
from app.log.kinds.memory_writes import memory_effect
from app.log.state import ARCHIVED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp


class Consolidate:
    """Payload `{"memory": write, "sources": [id], "links": [link], "at"}`."""

    name = "consolidate"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The summary lives, its sources go to the archive."""
        life: list[Value] = [0, ARCHIVED, "consolidated", instant(payload, "at")]
        return [
            memory_effect(payload.get("memory"), stamp),
            *lives(texts(payload, "sources"), life, stamp),
            *(link_effect(one, stamp) for one in items(payload, "links")),
        ]

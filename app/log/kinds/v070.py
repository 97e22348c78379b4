"""`v070`: what a v0.7.0 node wrote, with its own times as stamps, whoever receives it.

A v0.7.0 node has no log. The node that receives its rows logs them for it, and several nodes may
receive the same rows: each write carries the stamp that the row's own time makes, so that all of
them say the same. An entry is stamped later than what it carries, so an edit that somebody makes
after having seen the row wins over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.hlc import Stamp
from app.log.kinds.effect import Effect, items, mapping, refuse, text
from app.log.kinds.governance import Decision, Pending, Vote
from app.log.kinds.links import Link
from app.log.kinds.memory_writes import memory_effect
from app.log.kinds.standard import StandardSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.kinds.effect import Kind

ORIGIN_PREFIX: Final = "v070:"
PEER_CHARACTERS_MAX: Final = 128


def v070_origin(peer: str) -> str:
    """The origin in the stamps of what `peer` wrote."""
    return ORIGIN_PREFIX + peer


class _Row:
    """Payload `{"memory": write}`: any registers of one memory."""

    name = "row"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The registers that differed where the row arrived."""
        return (memory_effect(payload.get("memory"), stamp),)


_WRITES: Final[Mapping[str, Kind]] = {
    kind.name: kind for kind in (_Row(), Link(), StandardSet(), Pending(), Vote(), Decision())
}


class V070:
    """Payload `{"peer", "writes": [{"hlc", "kind", "payload"}]}`, of the kinds above."""

    name = "v070"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """What each write does at its own stamp."""
        peer = text(payload, "peer")
        if not peer or len(peer) > PEER_CHARACTERS_MAX:
            raise refuse("the peer is empty or too long")
        origin = v070_origin(peer)
        found: list[Effect] = []
        for item in items(payload, "writes"):
            write = mapping(item, "the write")
            kind = _WRITES.get(text(write, "kind"))
            if kind is None:
                raise refuse("a v0.7.0 node writes no such thing")
            hlc = write.get("hlc")
            if not isinstance(hlc, int) or isinstance(hlc, bool) or not 0 <= hlc < stamp.hlc:
                raise refuse("a write is not older than its entry")
            found.extend(kind.effects(mapping(write.get("payload"), "payload"), Stamp(hlc, origin)))
        return found

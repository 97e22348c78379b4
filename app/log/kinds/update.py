"""`update`: some registers of a memory that exists. Never writes its life or its owner's claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.kinds.memory_writes import memory_effect
from app.log.state import META_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp
    from app.log.kinds.effect import Effect

UPDATABLE: Final = frozenset(
    {
        "name",
        "body",
        "tags",
        "priority",
        "confidence",
        "owner",
        "tier",
        "expires",
        "updates",
        "updated",
        "kind",
        "depth",
        "persona",
        "atoms",
        META_PREFIX,
    },
)


class Update:
    """Payload `{"memory": write}`."""

    name = "update"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The registers given; a deleted memory stays deleted."""
        return (memory_effect(payload.get("memory"), stamp, allowed=UPDATABLE),)

"""`agent`: a registration, which is a memory in `_agents` with an id made from the agent's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.kinds.effect import Effect, text
from app.log.kinds.memory_writes import memory_effect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp


class Agent:
    """Payload `{"agent_id", "memory": write}`."""

    name = "agent"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The registration row."""
        text(payload, "agent_id")
        return (memory_effect(payload.get("memory"), stamp),)

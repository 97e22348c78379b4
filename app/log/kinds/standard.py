"""`standard_set`, `standard_clear`: which memory is a namespace's standard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.kinds.effect import Effect, instant, items, optional_text, text
from app.log.kinds.memory_writes import memory_effect
from app.log.registers import Written
from app.log.state import EntityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp


class StandardSet:
    """Payload `{"namespace", "standard_id", "parent", "updated_at", "memories": [write]}`.

    The memory that the binding points at may be created or changed by the same entry.
    """

    name = "standard_set"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The binding, and the memories that go with it."""
        binding: list[Value] = [
            text(payload, "standard_id"),
            optional_text(payload, "parent"),
            instant(payload, "updated_at"),
        ]
        key = EntityKey("standard", text(payload, "namespace"))
        return [
            Effect(key, {"binding": Written(binding, stamp)}),
            *(memory_effect(one, stamp) for one in items(payload, "memories")),
        ]


class StandardClear:
    """Payload `{"namespace"}`."""

    name = "standard_clear"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """No binding."""
        key = EntityKey("standard", text(payload, "namespace"))
        return (Effect(key, {"binding": Written(None, stamp)}),)

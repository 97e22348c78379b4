"""`alias`: other names of an entity memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.log.kinds.effect import Effect, instant, refuse, text, texts
from app.log.kinds.links import SEPARATOR
from app.log.kinds.memory_writes import checked_id, memory_effect
from app.log.registers import Written
from app.log.state import LIVE, EntityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp


def alias_key(entity_id: str, alias: str) -> EntityKey:
    """The state key of an alias."""
    return EntityKey("alias", f"{entity_id}{SEPARATOR}{alias}")


def split_alias_key(key: str) -> tuple[str, str]:
    """Entity id and alias of an alias's state key."""
    entity_id, alias = key.split(SEPARATOR, 1)
    return entity_id, alias


class Alias:
    """Payload `{"entity_id", "aliases", "created_at", "memory"?}`; the entity may come along."""

    name = "alias"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Each alias, live, and the entity's own memory when given."""
        entity_id = checked_id(text(payload, "entity_id"))
        if SEPARATOR in entity_id:
            raise refuse("the entity id holds a separator")
        created = Written(instant(payload, "created_at"), stamp)
        effects = [
            Effect(alias_key(entity_id, one), {"life": Written(LIVE, stamp), "created": created})
            for one in texts(payload, "aliases")
        ]
        if payload.get("memory") is not None:
            effects.append(memory_effect(payload["memory"], stamp))
        return effects

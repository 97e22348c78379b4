"""`delete`, `archive`, `restore`, `purge`: the four writers of the life register.

One entry may name many memories: a sweep is one decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.kinds.effect import Effect, instant, optional_text, refuse, text, texts
from app.log.kinds.memory_writes import LIVE_LIFE, checked_id, memory_effect
from app.log.registers import Written
from app.log.state import ARCHIVED, DELETED, PURGED, EntityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp

_RESTORED: Final = frozenset({"life", "expires", "tier", "updates", "updated"})


def lives(ids: Sequence[str], life: list[Value], stamp: Stamp) -> list[Effect]:
    """The same life for each memory."""
    cell = Written(life, stamp)
    return [Effect(EntityKey("memory", checked_id(one)), {"life": cell}) for one in ids]


class Delete:
    """Payload `{"ids", "at", "reason", "archived"}`: with or without a copy in the archive."""

    name = "delete"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Deleted, or archived with the reason when a copy is kept."""
        archived = payload.get("archived", False)
        if not isinstance(archived, bool):
            raise refuse("archived is not a boolean")
        word = ARCHIVED if archived else DELETED
        life: list[Value] = [0, word, optional_text(payload, "reason"), instant(payload, "at")]
        return lives(texts(payload, "ids"), life, stamp)


class Archive:
    """Payload `{"ids", "at", "reason"}`."""

    name = "archive"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Archived, with the reason."""
        life: list[Value] = [0, ARCHIVED, text(payload, "reason"), instant(payload, "at")]
        return lives(texts(payload, "ids"), life, stamp)


class Restore:
    """Payload `{"memory": write}`; its life register must say live."""

    name = "restore"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Live again, with the registers that a restore may set."""
        effect = memory_effect(payload.get("memory"), stamp, allowed=_RESTORED)
        life = effect.cells.get("life")
        if not isinstance(life, Written) or life.value != LIVE_LIFE:
            raise refuse("a restore does not say live")
        return (effect,)


class Purge:
    """Payload `{"ids", "at"}`: the content is erased for good, the ids stay dead."""

    name = "purge"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Purged; nothing brings the content back."""
        life: list[Value] = [1, PURGED, None, instant(payload, "at")]
        return lives(texts(payload, "ids"), life, stamp)

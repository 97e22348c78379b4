"""`link`, `unlink`, `invalidate`: typed links between memories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.memory import RELATIONS
from app.log.kinds.effect import (
    Effect,
    instant,
    items,
    mapping,
    optional_instant,
    optional_text,
    refuse,
    text,
)
from app.log.kinds.memory_writes import checked_id
from app.log.registers import Written
from app.log.state import DELETED, LIVE, EntityKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp

SEPARATOR: Final = "\x1f"


def link_key(source_id: str, target_id: str, relation: str) -> EntityKey:
    """The state key of a link."""
    return EntityKey("link", SEPARATOR.join((source_id, target_id, relation)))


def split_link_key(key: str) -> tuple[str, str, str]:
    """Source, target and relation of a link's state key."""
    source_id, target_id, relation = key.split(SEPARATOR)
    return source_id, target_id, relation


def _key(value: Mapping[str, Value]) -> EntityKey:
    source_id = checked_id(text(value, "source_id"))
    target_id = checked_id(text(value, "target_id"))
    relation = text(value, "relation")
    if relation not in RELATIONS or SEPARATOR in source_id + target_id or source_id == target_id:
        raise refuse("not a link")
    return link_key(source_id, target_id, relation)


def link_effect(value: Value, stamp: Stamp) -> Effect:
    """A link that exists from now on.

    Raises:
        EntryRefusedError: malformed.
    """
    link = mapping(value, "the link")
    signature = link.get("signature")
    if signature is not None and not isinstance(signature, bytes):
        raise refuse("signature is not bytes")
    facts: list[Value] = [
        instant(link, "created_at"),
        optional_instant(link, "valid_from"),
        optional_text(link, "observed_by"),
        signature,
        optional_text(link, "attest_level"),
    ]
    until = None if link.get("valid_until") is None else instant(link, "valid_until")
    # Written even when open: a link made again must not inherit the end of its last life.
    cells = {
        "life": Written(LIVE, stamp),
        "facts": Written(facts, stamp),
        "valid_until": Written(until, stamp),
    }
    return Effect(_key(link), cells)


class Link:
    """Payload `{"links": [link]}`."""

    name = "link"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Each link, live."""
        return [link_effect(one, stamp) for one in items(payload, "links")]


class Unlink:
    """Payload `{"links": [{"source_id", "target_id", "relation"}]}`."""

    name = "unlink"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """Each link, gone."""
        keys = [_key(mapping(one, "the link")) for one in items(payload, "links")]
        return [Effect(key, {"life": Written(DELETED, stamp)}) for key in keys]


class Invalidate:
    """Payload `{"source_id", "target_id", "relation", "valid_until"}`."""

    name = "invalidate"

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The link's validity ends; its signature no longer covers it."""
        until = Written(instant(payload, "valid_until"), stamp)
        return (Effect(_key(payload), {"valid_until": until}),)

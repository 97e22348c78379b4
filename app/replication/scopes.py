"""Which namespaces a peer may read and write, and which ones an entry speaks of.

An entry outside of a peer's scope travels as a hole, header and payload hash without the payload:
the chain stays whole, and the peer's copy counts for nobody's quorum.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

from app.domain.errors import EntryRefusedError
from app.log.entry import decode_payload
from app.log.hlc import Stamp
from app.log.kinds import KINDS
from app.log.kinds.links import SEPARATOR, split_link_key

if TYPE_CHECKING:
    from app.log.entry import Entry
    from app.log.kinds.effect import Effect
    from app.log.registers import Written
    from app.store.protocol import Store

_OF_NOBODY: Final = frozenset({"member", "forget", "purge"})
"""Kinds that say nothing of what a namespace holds: ids and states of nodes alone."""


class Scopes(Protocol):
    """What an operator granted."""

    def is_limited(self, node_id: str) -> bool:
        """Whether anything is withheld from or refused to a node; if not, nobody asks further."""
        ...

    def may_read(self, node_id: str, namespace: str) -> bool:
        """Whether what is in a namespace may be sent to a node."""
        ...

    def may_write(self, node_id: str, namespace: str) -> bool:
        """Whether a node's entries may change a namespace."""
        ...


class EveryScope:
    """Every node may read and write everything: what holds where nobody says otherwise."""

    def is_limited(self, node_id: str) -> bool:
        del node_id
        return False

    def may_read(self, node_id: str, namespace: str) -> bool:
        del node_id, namespace
        return True

    def may_write(self, node_id: str, namespace: str) -> bool:
        del node_id, namespace
        return True


async def may_send(scopes: Scopes, node_id: str, entry: Entry, store: Store) -> bool:
    """Whether a node may see what an entry says."""
    found = await _namespaces(entry, store)
    return found is not None and all(scopes.may_read(node_id, one) for one in found)


async def may_take(scopes: Scopes, node_id: str, entry: Entry, store: Store) -> bool:
    """Whether what an entry of a node says may be applied here."""
    found = await _namespaces(entry, store)
    return found is not None and all(scopes.may_write(node_id, one) for one in found)


async def _namespaces(entry: Entry, store: Store) -> set[str] | None:
    """Every namespace that an entry speaks of; None if that cannot be known here."""
    if entry.payload is None or entry.kind in _OF_NOBODY:
        return set()
    spoken = _Spoken()
    if not spoken.of(entry):
        return None
    for memory_id in spoken.memories:
        known = await store.snapshot(memory_id)
        if known is not None:
            spoken.namespaces.add(known.memory.namespace)
        elif memory_id not in spoken.named:
            return None
    return spoken.namespaces


@dataclass(slots=True)
class _Spoken:
    namespaces: set[str] = field(default_factory=set)
    memories: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    """Memories that the entry itself puts into a namespace."""

    def of(self, entry: Entry) -> bool:
        """Collect what an entry speaks of; whether all of it could be told."""
        kind = KINDS.get(entry.kind)
        if kind is None:
            return False
        try:
            effects = kind.effects(decode_payload(entry), Stamp(entry.hlc, entry.origin))
        except EntryRefusedError:
            return False
        if not effects:  # a vector, whose payload changes no register
            self.memories.update(entry.entity_ids)
        return all(self._add(effect) for effect in effects)

    def _add(self, effect: Effect) -> bool:
        kind, key = effect.key
        if kind == "memory":
            self.memories.add(key)
            if "name" in effect.cells:
                value = cast("Written", effect.cells["name"]).value
                self.namespaces.add(cast("list[str]", value)[0])
                self.named.add(key)
        elif kind == "link":
            self.memories.update(split_link_key(key)[:2])
        elif kind == "alias":
            self.memories.add(key.split(SEPARATOR)[0])
        elif kind == "standard":
            self.namespaces.add(key)
        else:
            return False  # requests and decisions: their rules come with governance
        return True

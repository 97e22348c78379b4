"""What an entry is on v0.7.0's wire: the rows that it touched, as they stand now.

An entry may hold one register; a v0.7.0 node takes whole rows. So the ids are the entry's and the
values the store's, which also means that one row goes out once for many entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import msgspec

from app.domain.errors import EntryRefusedError
from app.domain.memory_json import memory_json
from app.log.entry import decode_payload
from app.log.hlc import Stamp
from app.log.kinds import KINDS
from app.log.projection import life_of, project_link, project_standard
from app.log.registers import Written
from app.log.state import (
    ARCHIVED,
    DELETED,
    PURGED,
    VOTE_PREFIX,
    EntityKey,
    decode_state,
)
from app.replication.v070.wire import (
    ApprovalRow,
    PendingRow,
    StandardRow,
    link_row,
)
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.memory import Json, Memory
    from app.log.entry import Entry
    from app.log.registers import Cells
    from app.store.protocol import Store

UNSUPPORTED: Final = "unsupported_by_v070"
"""The code of an entry that no list of a push can carry."""
_OWED_TO_NOBODY: Final = frozenset({"touch", "embedding", "member"})
"""Kinds that a v0.7.0 node makes for itself, or has no use for; they count for no quorum."""


@dataclass(frozen=True, slots=True)
class Item:
    """One member of a list of a push."""

    list: str
    key: str
    """As the receiver calls it."""
    json: bytes


@dataclass(slots=True)
class Load:
    """What a batch of entries comes to."""

    first: list[Item] = field(default_factory=list)
    """Restores, which must arrive before their rows and may find nothing to restore."""
    items: list[Item] = field(default_factory=list)
    owners: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    """Item's list and key → (origin, seq) of the entries that want it there."""
    unsupported: list[tuple[str, int]] = field(default_factory=list)

    def add(self, item: Item, entries: Iterable[tuple[str, int]]) -> None:
        """One more item."""
        self.items.append(item)
        self.owners[owner_key(item)] = list(entries)


def owner_key(item: Item) -> str:
    """Under which an item's entries are found."""
    return f"{item.list}\x00{item.key}"


async def load_of(entries: Sequence[Entry], store: Store, now: str) -> Load:
    """Everything that a v0.7.0 node has to be told because of these entries."""
    touched: dict[EntityKey, list[tuple[str, int]]] = {}
    load = Load()
    restored: dict[str, None] = {}
    for entry in entries:
        place = (entry.origin, entry.seq)
        keys = _keys(entry)
        if keys is None:
            continue
        sendable = [key for key in keys if key.kind != "alias"]
        if not sendable:
            load.unsupported.append(place)
        for key in sendable:
            touched.setdefault(key, []).append(place)
        if entry.kind == "restore":
            restored.update((key.key, None) for key in sendable)
    states = {
        EntityKey(one.kind, one.key): decode_state(one.kind, one.state)
        for one in await store.states_of(list(touched))
    }
    ids = [key.key for key in touched if key.kind == "memory"]
    live = {one.id: one for one in await store.get_many(ids, MemoryFilter(now=now))}
    load.first = [_item("restores", one, one) for one in restored if one in live]
    for key, places in touched.items():
        cells = states.get(key, {})
        if key.kind == "memory":
            item = _memory_item(key.key, cells, live.get(key.key))
            if item is None:
                continue  # expired, or not whole yet: its row comes with what completes it
        else:
            item = _record_item(key, cells)
        if item is None:
            load.unsupported.extend(places)
        else:
            load.add(item, places)
    return load


def memory_item(memory: Memory) -> Item:
    """A row to be sent."""
    return _item("memories", memory.id, memory_json(memory))


def _keys(entry: Entry) -> Sequence[EntityKey] | None:
    """What an entry touches; None if nobody is owed anything."""
    kind = KINDS.get(entry.kind)
    if entry.kind in _OWED_TO_NOBODY or kind is None or entry.payload is None:
        return None
    try:
        effects = kind.effects(decode_payload(entry), Stamp(entry.hlc, entry.origin))
    except EntryRefusedError:
        return None
    return list(dict.fromkeys(effect.key for effect in effects))


def _memory_item(memory_id: str, cells: Cells, live: Memory | None) -> Item | None:
    if live is not None:
        return memory_item(live)
    word = life_of(cells)
    if word == ARCHIVED:
        return _item("archives", memory_id, memory_id)
    if word in {DELETED, PURGED}:
        return _item("deletions", memory_id, memory_id)
    return None


def _record_item(key: EntityKey, cells: Cells) -> Item | None:
    if key.kind == "link":
        link = project_link(key.key, cells)
        if link is None:
            return None  # a link that ended: v0.7.0 has no word for it
        return _item("links", f"{link.source_id}→{link.target_id}", link_row(link))
    if key.kind == "standard":
        binding = project_standard(key.key, cells)
        if binding is None:
            return _item("namespace_meta_clears", key.key, key.key)
        row = StandardRow(
            namespace=binding.namespace,
            standard_id=binding.standard_id,
            updated_at=binding.updated_at,
            parent_namespace=binding.parent_namespace,
        )
        return _item("namespace_meta", key.key, row)
    if key.kind == "pending":
        pending = _pending(key.key, cells)
        return None if pending is None else _item("pendings", key.key, pending)
    return None


def _pending(pending_id: str, cells: Cells) -> PendingRow | None:
    request = cells.get("request")
    if not isinstance(request, Written):
        return None
    asked = cast("Mapping[str, Json]", request.value)
    decision = cells.get("decision")
    decided = cast("list[Json]", decision.value) if isinstance(decision, Written) else None
    votes = [
        ApprovalRow(register.removeprefix(VOTE_PREFIX), cast("str", cell.value))
        for register, cell in sorted(cells.items())
        if register.startswith(VOTE_PREFIX) and isinstance(cell, Written)
    ]
    memory_id = asked.get("memory_id")
    return PendingRow(
        id=pending_id,
        action_type=str(asked.get("action_type", "store")),
        namespace=str(asked.get("namespace", "")),
        requested_by=str(asked.get("requested_by", "")),
        requested_at=str(asked.get("requested_at", "")),
        payload=asked.get("payload"),
        memory_id=memory_id if isinstance(memory_id, str) else None,
        # Told as decided: told to decide, a v0.7.0 node would do it again under ids of its own.
        status="pending" if decided is None else "approved" if decided[0] else "rejected",
        decided_by=None if decided is None else str(decided[1]),
        decided_at=None if decided is None else str(decided[2]),
        approvals=votes,
    )


def _item(name: str, key: str, value: object) -> Item:
    return Item(name, key, msgspec.json.encode(value))

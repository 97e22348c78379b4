"""Drafts of entries, from the field's values. One function an operation."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from app.domain.memory import TIER_RANKS
from app.log.entry import Draft
from app.log.kinds.memory_writes import LIVE_LIFE
from app.log.projection import changed_registers, registers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.log.canonical import Value
    from app.log.projection import Snapshot
    from app.log.registers import Cells


def own_counter(cells: Cells, register: str, origin: str) -> int:
    """This origin's total in a counter register."""
    counters = cells.get(register)
    mine = counters.get(origin, 0) if isinstance(counters, dict) else 0
    return cast("int", mine)


def _write(memory_id: str, written: dict[str, Value]) -> dict[str, Value]:
    return {"id": memory_id, "registers": written}


def store(memory: Memory, actor: str, *, is_new: bool = False) -> Draft:
    """A new memory. `is_new`: nothing was ever heard of its id here, so it may come late."""
    payload: dict[str, Value] = {"memory": _write(memory.id, registers(memory))}
    if is_new:
        payload["new"] = True
    return Draft("store", actor, (memory.id,), payload)


def update_write(before: Snapshot, after: Memory, origin: str) -> dict[str, Value] | None:
    """The write that turns `before` into `after`, or None when nothing differs.

    `after.updated_at` is the time of the update; `after.version` is ignored.
    """
    changed = changed_registers(before, after)
    if not changed:
        return None
    changed["updates"] = own_counter(before.cells, "updates", origin) + 1
    changed["updated"] = after.updated_at
    return _write(after.id, changed)


def update(before: Snapshot, after: Memory, actor: str, origin: str) -> Draft | None:
    """An update, or None when nothing differs."""
    write = update_write(before, after, origin)
    return None if write is None else Draft("update", actor, (after.id,), {"memory": write})


def promote(before: Snapshot, after: Memory, actor: str, origin: str) -> Draft | None:
    """A promotion: `after` differs in tier and expiry only. None when nothing differs."""
    write = update_write(before, after, origin)
    return None if write is None else Draft("promote", actor, (after.id,), {"memory": write})


def delete(ids: Sequence[str], actor: str, at: str, *, archived: bool, reason: str) -> Draft:
    """A delete, with (`archived`) or without a copy in the archive."""
    payload: dict[str, Value] = {
        "ids": list(ids),
        "at": at,
        "reason": reason,
        "archived": archived,
    }
    return Draft("delete", actor, tuple(ids), payload)


def archive(ids: Sequence[str], actor: str, at: str, reason: str) -> Draft:
    """A move to the archive."""
    payload: dict[str, Value] = {"ids": list(ids), "at": at, "reason": reason}
    return Draft("archive", actor, tuple(ids), payload)


def restore(before: Snapshot, expires_at: str | None, actor: str, at: str, origin: str) -> Draft:
    """Back from the archive, with this expiry."""
    written: dict[str, Value] = {
        "life": LIVE_LIFE,
        "updates": own_counter(before.cells, "updates", origin) + 1,
        "updated": at,
    }
    if expires_at != before.memory.expires_at:
        written["expires"] = expires_at
        if before.is_promoted_by_use:
            # Else the register would still say mid, and the expiry would not show.
            written["tier"] = [TIER_RANKS[before.memory.tier], before.memory.access_count]
    memory_id = before.memory.id
    return Draft("restore", actor, (memory_id,), {"memory": _write(memory_id, written)})


def purge(ids: Sequence[str], actor: str, at: str) -> Draft:
    """Erasure for good."""
    return Draft("purge", actor, tuple(ids), {"ids": list(ids), "at": at})


def link_value(link: MemoryLink) -> dict[str, Value]:
    """A link as payloads carry it."""
    return cast("dict[str, Value]", asdict(link))


def link(links: Sequence[MemoryLink], actor: str) -> Draft:
    """New links."""
    ids = dict.fromkeys(one for pair in links for one in (pair.source_id, pair.target_id))
    return Draft("link", actor, tuple(ids), {"links": [link_value(one) for one in links]})


def unlink(links: Sequence[MemoryLink], actor: str) -> Draft:
    """Links that go."""
    ids = dict.fromkeys(one for pair in links for one in (pair.source_id, pair.target_id))
    keys: list[Value] = [
        {"source_id": one.source_id, "target_id": one.target_id, "relation": one.relation}
        for one in links
    ]
    return Draft("unlink", actor, tuple(ids), {"links": keys})


def invalidate(found: MemoryLink, valid_until: str, actor: str) -> Draft:
    """The end of a link's validity."""
    payload: dict[str, Value] = {
        "source_id": found.source_id,
        "target_id": found.target_id,
        "relation": found.relation,
        "valid_until": valid_until,
    }
    return Draft("invalidate", actor, (found.source_id, found.target_id), payload)


def alias(entity: Memory, aliases: Sequence[str], actor: str, at: str, *, new: bool) -> Draft:
    """Names of an entity; `new` brings the entity's own memory along."""
    payload: dict[str, Value] = {
        "entity_id": entity.id,
        "aliases": list(aliases),
        "created_at": at,
    }
    if new:
        payload["memory"] = _write(entity.id, registers(entity))
    return Draft("alias", actor, (entity.id,), payload)


def consolidate(
    memory: Memory, sources: Sequence[str], links: Sequence[MemoryLink], actor: str, at: str
) -> Draft:
    """One memory in place of several."""
    payload: dict[str, Value] = {
        "memory": _write(memory.id, registers(memory)),
        "sources": list(sources),
        "links": [link_value(one) for one in links],
        "at": at,
    }
    return Draft("consolidate", actor, (memory.id, *sources), payload)


def touch(writes: Sequence[tuple[str, dict[str, Value]]], actor: str) -> Draft:
    """What recalls left behind: (id, registers) pairs."""
    ids = tuple(memory_id for memory_id, _ in writes)
    return Draft("touch", actor, ids, {"memories": [_write(one, regs) for one, regs in writes]})


def embedding(
    memory_id: str, content_hash: bytes, model: str, dim: int, half_floats: bytes, actor: str
) -> Draft:
    """A vector for the content that hashes to `content_hash`."""
    payload: dict[str, Value] = {
        "memory_id": memory_id,
        "content_hash": content_hash,
        "model": model,
        "dim": dim,
        "vector": half_floats,
    }
    return Draft("embedding", actor, (memory_id,), payload)


def agent(agent_id: str, before: Snapshot | None, row: Memory, actor: str, origin: str) -> Draft:
    """A registration, new or renewed."""
    if before is None or not before.is_live:
        write = _write(row.id, registers(row))
    else:
        write = update_write(before, row, origin) or _write(row.id, {"updated": row.updated_at})
    return Draft("agent", actor, (row.id,), {"agent_id": agent_id, "memory": write})


def standard_set(
    namespace: str,
    standard_id: str,
    parent: str | None,
    at: str,
    writes: Sequence[dict[str, Value]],
    actor: str,
) -> Draft:
    """A namespace's standard; `writes` are `update_write` or `store_write` values."""
    payload: dict[str, Value] = {
        "namespace": namespace,
        "standard_id": standard_id,
        "parent": parent,
        "updated_at": at,
        "memories": list(writes),
    }
    return Draft("standard_set", actor, (standard_id,), payload)


def standard_clear(namespace: str, standard_id: str, actor: str) -> Draft:
    """No standard any more."""
    return Draft("standard_clear", actor, (standard_id,), {"namespace": namespace})


def store_write(memory: Memory) -> dict[str, Value]:
    """A whole new memory inside another entry's payload."""
    return _write(memory.id, registers(memory))


def member(node_id: str, membership: str, detail: dict[str, Value], actor: str) -> Draft:
    """A node's membership: `joined`, `left` or `expired`."""
    payload: dict[str, Value] = {"node_id": node_id, "state": membership, "detail": detail}
    return Draft("member", actor, (node_id,), payload)


def forget(below: int, actor: str) -> Draft:
    """Tombstones from before this clock may go."""
    return Draft("forget", actor, (), {"below": below})

"""What a v0.7.0 row means here: writes to registers, stamped with the row's own time.

Only what differs is written, so a row that comes again, or by another way, leaves nothing. A row
cannot bring back what was deleted after the row was made: being alive is stamped with its creation,
everything else with its last update.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, cast

from app.domain.memory import TIER_RANKS
from app.log.drafts import own_counter
from app.log.entry import Draft
from app.log.kinds.links import link_effect, link_key
from app.log.kinds.memory_writes import LIVE_LIFE, memory_effect
from app.log.projection import (
    changed_registers,
    life_of,
    project_link,
    project_standard,
    registers,
    snapshot,
    total,
)
from app.log.registers import Cells, Written
from app.log.state import DELETED, MEMORY_SCHEMA, PURGED, VOTE_PREFIX, EntityKey, join
from app.replication.v070.times import stamp_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.memory import Memory, MemoryLink
    from app.log.canonical import Value
    from app.log.hlc import Stamp
    from app.log.projection import Snapshot
    from app.replication.v070.wire import PendingRow, StandardRow

Status = Literal["new", "updated", "noop"]

_NOTHING: Final[Cells] = {}
_KEPT: Final = frozenset({"created", "owner", "life"})
"""Of a row that stands here: who made it when is settled, and life has a rule of its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one item does here: the writes of one entry, none when nothing differs."""

    status: Status
    key: EntityKey
    writes: tuple[dict[str, Value], ...] = ()
    code: str | None = None

    def draft(self, peer: str, entity_ids: tuple[str, ...]) -> Draft:
        """The entry, for a node that logs for `peer`."""
        stamps = [cast("int", write["hlc"]) for write in self.writes]
        payload: dict[str, Value] = {"peer": peer, "writes": list(self.writes)}
        return Draft("v070", peer, entity_ids, payload, after=max(stamps))


@dataclass(frozen=True, slots=True)
class IncomingRow:
    """A checked memory with times in canonical text."""

    memory: Memory
    has_provenance: bool = True
    """False for rows of releases before citations: what those lack stays as it is."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Metadata that only a row that is new here gets."""


def change_of_row(row: IncomingRow, peer: str, cells: Cells | None) -> Change:
    """What a row does to the state of its memory."""
    memory = row.memory
    key = EntityKey("memory", memory.id)
    standing_cells = _NOTHING if cells is None else cells
    updated = stamp_of(memory.updated_at, peer)
    born = min(stamp_of(memory.created_at, peer), updated)
    life = standing_cells.get("life")
    is_reborn = not isinstance(life, Written) or life.stamp.hlc < born.hlc
    word = life_of(standing_cells)
    if word == PURGED or (word == DELETED and not is_reborn):
        return Change("noop", key, code="deleted")
    standing = snapshot(memory.id, standing_cells)
    if standing is None:
        offered = registers(replace(memory, metadata={**memory.metadata, **row.extra}))
        del offered["life"]
        news = _news(memory.id, offered, updated, standing_cells)
    else:
        news = _news(memory.id, _differing(row, standing), updated, standing_cells)
        counts = _counts(row, standing, updated.origin, is_changed=bool(news))
        news |= _news(memory.id, counts, updated, standing_cells)
    writes = _writes(memory.id, news, updated, born if is_reborn else None)
    if not writes:
        return Change("noop", key)
    return Change("new" if standing is None or is_reborn else "updated", key, writes)


def _writes(
    memory_id: str, news: dict[str, Value], updated: Stamp, born: Stamp | None
) -> tuple[dict[str, Value], ...]:
    if born == updated:
        return (_row_write(memory_id, {**news, "life": LIVE_LIFE}, updated),)
    found = [_row_write(memory_id, news, updated)] if news else []
    if born is not None:
        found.append(_row_write(memory_id, {"life": LIVE_LIFE}, born))
    return tuple(found)


def _row_write(memory_id: str, written: dict[str, Value], stamp: Stamp) -> dict[str, Value]:
    payload: dict[str, Value] = {"memory": {"id": memory_id, "registers": written}}
    return {"hlc": stamp.hlc, "kind": "row", "payload": payload}


def _news(
    memory_id: str, offered: dict[str, Value], stamp: Stamp, cells: Cells
) -> dict[str, Value]:
    """Of the offered registers those that would change the state."""
    effect = memory_effect({"id": memory_id, "registers": offered}, stamp)
    found: dict[str, Value] = {}
    for register, cell in effect.cells.items():
        mine = cells.get(register)
        if mine is not None:
            is_seen = (
                isinstance(mine, Written) and isinstance(cell, Written) and mine.stamp == cell.stamp
            )
            rule = MEMORY_SCHEMA.rule(register)
            if is_seen or rule is None or rule.join(mine, cell) is mine:
                continue
        found[register] = offered[register]
    return found


def _differing(row: IncomingRow, standing: Snapshot) -> dict[str, Value]:
    """The registers in which a row differs from what stands."""
    after = _as_merged(row, standing.memory)
    found = {
        register: value
        for register, value in changed_registers(standing, after).items()
        if register not in _KEPT
    }
    if standing.memory.owner is None and after.owner is not None:
        found["owner"] = registers(after)["owner"]
    return found


def _counts(
    row: IncomingRow, standing: Snapshot, origin: str, *, is_changed: bool
) -> dict[str, Value]:
    """The counts that make the totals what the row says, and one more update for a change."""
    cells, memory = standing.cells, row.memory
    found: dict[str, Value] = {}
    others = total(cells.get("accesses")) - own_counter(cells, "accesses", origin)
    if memory.access_count > others:
        found["accesses"] = memory.access_count - others
    if memory.last_accessed_at is not None:
        found["accessed"] = memory.last_accessed_at
    if is_changed:
        mine = own_counter(cells, "updates", origin)
        others = total(cells.get("updates")) - mine
        found["updates"] = max(mine + 1, memory.version - 1 - others)
        found["updated"] = memory.updated_at
    return found


def _as_merged(row: IncomingRow, old: Memory) -> Memory:
    """The row where v0.7.0 lets the newer one win, and what stands where it does not."""
    new = row.memory
    tier = max(old.tier, new.tier, key=TIER_RANKS.__getitem__)
    aliases = {f"{old.title} ~{old.id[:8]}", f"{old.title} ~{old.id}"}
    merged = replace(
        new,
        # What lost its name shows under an alias: the peer only says what we told it.
        title=old.title if new.title in aliases else new.title,
        tier=tier,
        expires_at=None if tier == "long" else new.expires_at or old.expires_at,
        reflection_depth=max(old.reflection_depth, new.reflection_depth),
    )
    if row.has_provenance:
        return merged
    return replace(
        merged,
        citations=old.citations,
        source_uri=old.source_uri,
        source_span=old.source_span,
        confidence_source=old.confidence_source,
        confidence_signals=old.confidence_signals,
        confidence_decayed_at=old.confidence_decayed_at,
        memory_kind=old.memory_kind,
        entity_id=old.entity_id,
        persona_version=old.persona_version,
    )


def change_of_link(link: MemoryLink, peer: str, cells: Cells | None) -> Change:
    """What a checked link does. What it does not say stays as it is."""
    key = link_key(link.source_id, link.target_id, link.relation)
    standing_cells = _NOTHING if cells is None else cells
    standing = project_link(key.key, standing_cells)
    if standing is not None:
        if link.signature is None:
            link = replace(
                link,
                observed_by=link.observed_by or standing.observed_by,
                signature=standing.signature,
                attest_level=standing.attest_level,
            )
        link = replace(
            link,
            valid_from=link.valid_from or standing.valid_from,
            valid_until=link.valid_until or standing.valid_until,
        )
        if link == standing:
            return Change("noop", key)
    stamp = stamp_of(link.created_at, peer)
    value = _link_value(link)
    effect = link_effect(value, stamp)
    after = join("link", standing_cells, effect.cells)
    if after is standing_cells or project_link(key.key, after) == standing:
        return Change("noop", key, code=None if standing else "deleted")
    status: Status = "new" if standing is None else "updated"
    payload: dict[str, Value] = {"links": [value]}
    return Change(status, key, ({"hlc": stamp.hlc, "kind": "link", "payload": payload},))


def _link_value(link: MemoryLink) -> dict[str, Value]:
    return {
        "source_id": link.source_id,
        "target_id": link.target_id,
        "relation": link.relation,
        "created_at": link.created_at,
        "valid_from": link.valid_from,
        "valid_until": link.valid_until,
        "observed_by": link.observed_by,
        "signature": link.signature,
        "attest_level": link.attest_level,
    }


def change_of_standard(row: StandardRow, peer: str, cells: Cells | None) -> Change:
    """What the binding of a standard does; `row.updated_at` is canonical text."""
    key = EntityKey("standard", row.namespace)
    standing_cells = _NOTHING if cells is None else cells
    standing = project_standard(row.namespace, standing_cells)
    same = (
        standing is not None
        and standing.standard_id == row.standard_id
        and standing.parent_namespace == row.parent_namespace
    )
    stamp = stamp_of(row.updated_at, peer)
    bound = standing_cells.get("binding")
    if same or (isinstance(bound, Written) and bound.stamp >= stamp):
        return Change("noop", key)
    payload: dict[str, Value] = {
        "namespace": row.namespace,
        "standard_id": row.standard_id,
        "parent": row.parent_namespace,
        "updated_at": row.updated_at,
    }
    write: dict[str, Value] = {"hlc": stamp.hlc, "kind": "standard_set", "payload": payload}
    return Change("updated" if standing else "new", key, (write,))


def change_of_pending(row: PendingRow, peer: str, cells: Cells | None) -> Change:
    """What a pending action does: its request, each vote and its decision, the first of each."""
    key = EntityKey("pending", row.id)
    known = _NOTHING if cells is None else cells
    writes: list[dict[str, Value]] = []

    def write(at: str, kind: str, payload: dict[str, Value]) -> None:
        hlc = stamp_of(at, peer).hlc
        writes.append({"hlc": hlc, "kind": kind, "payload": {"pending_id": row.id, **payload}})

    if "request" not in known:
        write(row.requested_at, "pending", {"request": _request(row)})
    for one in row.approvals:
        if VOTE_PREFIX + one.agent_id not in known:
            vote: dict[str, Value] = {"agent_id": one.agent_id, "approved_at": one.approved_at}
            write(one.approved_at, "vote", vote)
    is_decided = row.status in {"approved", "rejected"} and row.decided_by is not None
    if is_decided and not _has_decision(known, approve=row.status == "approved"):
        at = row.decided_at or row.requested_at
        decision: dict[str, Value] = {
            "approve": row.status == "approved",
            "decider": row.decided_by,
            "decided_at": at,
        }
        write(at, "decision", decision)
    if not writes:
        return Change("noop", key)
    return Change("updated" if known else "new", key, tuple(writes))


def decision_draft(pending_id: str, decider: str, at: str, *, approve: bool) -> Draft:
    """A decision without a time of its own: the receiver's."""
    payload: dict[str, Value] = {
        "pending_id": pending_id,
        "approve": approve,
        "decider": decider,
        "decided_at": at,
        "memories": [],
    }
    return Draft("decision", decider, (), payload)


def is_decided(cells: Cells | None, *, approve: bool) -> bool:
    """Whether such a decision would change nothing."""
    return cells is not None and _has_decision(cells, approve=approve)


def namespace_of_request(cells: Cells) -> str | None:
    """Where a pending action would act; None while only votes or decisions are known."""
    request = cells.get("request")
    asked = request.value if isinstance(request, Written) else None
    found = asked.get("namespace") if isinstance(asked, dict) else None
    return found if isinstance(found, str) else None


def _has_decision(cells: Cells, *, approve: bool) -> bool:
    decision = cells.get("decision")
    if not isinstance(decision, Written):
        return False
    # A rejection beats an approval; among equals the first one stands.
    rank = cast("list[int]", decision.value)[0]
    return rank <= int(approve)


def _request(row: PendingRow) -> dict[str, Value]:
    request: dict[str, Value] = {
        "action_type": row.action_type,
        "namespace": row.namespace,
        "payload": cast("Value", row.payload),
        "requested_by": row.requested_by,
        "requested_at": row.requested_at,
    }
    if row.memory_id is not None:
        request["memory_id"] = row.memory_id
    return request

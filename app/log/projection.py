"""From registers to the row that people see, and from a row to registers.

Everything here is a pure function of the merged state, so two nodes with equal
states show equal rows. Touches act here: effective tier, priority and expiry
follow from merged totals (decisions on expiry and touch).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from app.domain.memory import (
    ACCESS_COUNT_MAX,
    ACCESSES_PER_PRIORITY,
    ACCESSES_TO_PROMOTE,
    PRIORITY_MAX,
    STICKY_KINDS,
    TIER_RANKS,
    TIERS_BY_RANK,
    Json,
    Memory,
    MemoryLink,
)
from app.domain.timestamps import format_instant, from_epoch_milliseconds
from app.log.hlc import wall_milliseconds
from app.log.kinds.alias import split_alias_key
from app.log.kinds.links import split_link_key
from app.log.kinds.memory_writes import LIVE_LIFE
from app.log.registers import Cell, Cells, Written
from app.log.signing import SIGNATURE_BYTES
from app.log.state import ARCHIVED, LIVE, META_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.log.canonical import Value
    from app.log.hlc import Stamp

SYSTEM_OWNER: Final = "system"
UNSIGNED: Final = "unsigned"
ATTESTED_LEVELS: Final = frozenset({"self_signed", "peer_attested"})
_MID: Final = TIER_RANKS["mid"]
_LONG: Final = TIER_RANKS["long"]
_REQUIRED: Final = ("name", "body", "tags", "priority", "confidence", "tier", "created", "life")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A memory as its merged state shows it, with what the 26 fields do not say."""

    memory: Memory
    life: str
    life_reason: str | None
    life_at: str | None
    cells: Cells
    atomised_into: int | None = None
    atom_of: str | None = None

    @property
    def is_live(self) -> bool:
        """Live whatever its expiry; see `is_current`."""
        return self.life == LIVE

    @property
    def is_promoted_by_use(self) -> bool:
        """Long by its accesses alone: its tier register says less, and its expiry is void."""
        return TIER_RANKS[self.memory.tier] > cast("list[int]", self.cells["tier"])[0]

    def is_expired(self, now: str) -> bool:
        """Whether the expiry lies at or before `now`, canonical text."""
        expires_at = self.memory.expires_at
        return expires_at is not None and expires_at <= now

    def is_current(self, now: str) -> bool:
        """Live and not expired: what reads see."""
        return self.life == LIVE and not self.is_expired(now)


def _value(cells: Cells, register: str) -> Value:
    cell = cells.get(register)
    return cell.value if isinstance(cell, Written) else None


def life_of(cells: Cells) -> str | None:
    """The life word, or None while no entry has said it."""
    life = _value(cells, "life")
    return cast("str", life[1]) if isinstance(life, list) else None


def text_stamp(cells: Cells) -> Stamp | None:
    """When and where the present title and content were written; None for a state without them."""
    name, body = cells.get("name"), cells.get("body")
    if isinstance(name, Written) and isinstance(body, Written):
        return max(name.stamp, body.stamp)
    return None


def total(cell: Cell | None) -> int:
    """The value of a counter register."""
    return sum(cast("dict[str, int]", cell).values()) if isinstance(cell, dict) else 0


def snapshot(memory_id: str, cells: Cells) -> Snapshot | None:
    """The row of a state, or None while it is partial or purged."""
    if any(register not in cells for register in _REQUIRED):
        return None
    namespace, title = cast("list[str]", _value(cells, "name"))
    content, citations, source_uri, source_span, source = cast("list[Value]", _value(cells, "body"))
    confidence, confidence_source, signals, decayed_at = cast(
        "list[Value]",
        _value(cells, "confidence"),
    )
    created_at = cast("str", _value(cells, "created"))
    accesses = min(total(cells.get("accesses")), ACCESS_COUNT_MAX)
    tier_rank = _effective_tier(cells, accesses)
    persona = cast("list[Value]", _value(cells, "persona") or [None, None])
    atoms = cast("list[Value]", _value(cells, "atoms") or [None, None])
    kind = cast("list[Value]", _value(cells, "kind") or [0, "observation"])
    life = cast("list[Value]", _value(cells, "life"))
    return Snapshot(
        memory=Memory(
            id=memory_id,
            tier=TIERS_BY_RANK[tier_rank],
            namespace=namespace,
            title=title,
            content=cast("str", content),
            tags=tuple(cast("list[str]", _value(cells, "tags"))),
            priority=_effective_priority(cells, accesses),
            confidence=float(cast("float", confidence)),
            source=cast("str", source),
            access_count=accesses,
            created_at=created_at,
            updated_at=cast("str", cells.get("updated") or created_at),
            last_accessed_at=cast("str | None", cells.get("accessed")),
            expires_at=_effective_expiry(cells, tier_rank),
            metadata=_metadata(cells),
            reflection_depth=cast("int", cells.get("depth") or 0),
            memory_kind=cast("str", kind[1]),
            entity_id=cast("str | None", persona[0]),
            persona_version=cast("int | None", persona[1]),
            citations=tuple(cast("list[Json]", citations)),
            source_uri=cast("str | None", source_uri),
            source_span=cast("Json", source_span),
            confidence_source=cast("str", confidence_source),
            confidence_signals=cast("Json", signals),
            confidence_decayed_at=cast("str | None", decayed_at),
            version=1 + total(cells.get("updates")),
        ),
        life=cast("str", life[1]),
        life_reason=cast("str | None", life[2]),
        life_at=cast("str | None", life[3]),
        cells=cells,
        atomised_into=cast("int | None", atoms[0]),
        atom_of=cast("str | None", atoms[1]),
    )


def _effective_tier(cells: Cells, accesses: int) -> int:
    rank, accesses_then = cast("list[int]", cells["tier"])
    if rank == _MID and accesses - accesses_then >= ACCESSES_TO_PROMOTE:
        return _LONG
    return rank


def _effective_priority(cells: Cells, accesses: int) -> int:
    priority, accesses_then = cast("list[int]", _value(cells, "priority"))
    earned = accesses // ACCESSES_PER_PRIORITY - accesses_then // ACCESSES_PER_PRIORITY
    return min(PRIORITY_MAX, priority + max(0, earned))


def _effective_expiry(cells: Cells, tier_rank: int) -> str | None:
    base = cells.get("expires")
    if not isinstance(base, Written) or not isinstance(base.value, str):
        return None
    if tier_rank == _LONG and cast("list[int]", cells["tier"])[0] != _LONG:
        return None  # promoted by use
    touched = cells.get("touched_expires")
    if isinstance(touched, list) and touched[:2] == [base.stamp.hlc, base.stamp.origin]:
        return max(base.value, cast("str", touched[2]))
    return base.value


def _metadata(cells: Cells) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for register in sorted(cells):
        if register.startswith(META_PREFIX):
            value = cast("list[Json]", _value(cells, register))
            if value:
                found[register.removeprefix(META_PREFIX)] = value[0]
    owner = cast("list[Value] | None", _value(cells, "owner"))
    if owner is not None:
        found["agent_id"] = cast("str", owner[1])
    return found


def with_conflict(found: Snapshot, winner_id: str, *, full: bool = False) -> Snapshot:
    """How the loser of a name shows: an aliased title and the winner's id in its metadata."""
    memory = found.memory
    suffix = memory.id if full else memory.id[:8]
    return replace(
        found,
        memory=replace(
            memory,
            title=f"{memory.title} ~{suffix}",
            metadata={**memory.metadata, "name_conflict": winner_id},
        ),
    )


def registers(memory: Memory) -> dict[str, Value]:
    """Every register of a new row, live. Counts it arrives with become this origin's totals."""
    accesses = memory.access_count
    found: dict[str, Value] = {
        "name": [memory.namespace, memory.title],
        "body": _body(memory),
        "tags": list(memory.tags),
        "priority": [memory.priority, accesses],
        "confidence": _confidence(memory),
        "tier": [TIER_RANKS[memory.tier], accesses],
        "expires": memory.expires_at,
        "life": LIVE_LIFE,
        "created": memory.created_at,
        "updated": memory.updated_at,
        "kind": _kind(memory),
    }
    owner = memory.owner
    if owner is not None:
        found["owner"] = _owner(owner)
    found.update(_metadata_registers(memory.metadata))
    if memory.reflection_depth:
        found["depth"] = memory.reflection_depth
    if memory.entity_id is not None or memory.persona_version is not None:
        found["persona"] = _persona(memory)
    if accesses:
        found["accesses"] = accesses
    if memory.last_accessed_at is not None:
        found["accessed"] = memory.last_accessed_at
    if memory.version > 1:
        found["updates"] = memory.version - 1
    return found


def changed_registers(before: Snapshot, after: Memory) -> dict[str, Value]:
    """The registers in which `after` differs from what stands; life and touches never.

    What a register's rule would not let through (a lower tier or depth, another owner's claim
    on an owned row, a kind that stopped being sticky) is written and loses the merge.
    """
    old, accesses = before.memory, before.memory.access_count
    comparisons: tuple[tuple[str, Value, Value], ...] = (
        ("name", [old.namespace, old.title], [after.namespace, after.title]),
        ("body", _body(old), _body(after)),
        ("tags", list(old.tags), list(after.tags)),
        ("confidence", _confidence(old), _confidence(after)),
        ("expires", old.expires_at, after.expires_at),
        ("kind", _kind(old), _kind(after)),
        ("persona", _persona(old), _persona(after)),
    )
    found = {register: new for register, standing, new in comparisons if standing != new}
    if old.priority != after.priority:
        found["priority"] = [after.priority, accesses]
    if old.tier != after.tier or ("expires" in found and before.is_promoted_by_use):
        found["tier"] = [TIER_RANKS[after.tier], accesses]
    if after.reflection_depth > old.reflection_depth:
        found["depth"] = after.reflection_depth
    if after.owner is not None and after.owner != old.owner:
        found["owner"] = _owner(after.owner)
    found.update(_metadata_changes(old.metadata, after.metadata))
    return found


def _body(memory: Memory) -> list[Value]:
    return [
        memory.content,
        cast("list[Value]", list(memory.citations)),
        memory.source_uri,
        cast("Value", memory.source_span),
        memory.source,
    ]


def _confidence(memory: Memory) -> list[Value]:
    return [
        memory.confidence,
        memory.confidence_source,
        cast("Value", memory.confidence_signals),
        memory.confidence_decayed_at,
    ]


def _kind(memory: Memory) -> list[Value]:
    return [int(memory.memory_kind in STICKY_KINDS), memory.memory_kind]


def _persona(memory: Memory) -> list[Value]:
    return [memory.entity_id, memory.persona_version]


def _owner(owner: str) -> list[Value]:
    return [int(owner == SYSTEM_OWNER), owner]


def _is_register_key(key: str) -> bool:
    return key not in {"agent_id", "name_conflict"}


def _metadata_registers(metadata: Mapping[str, Json]) -> dict[str, Value]:
    return {
        META_PREFIX + key: [cast("Value", value)]
        for key, value in metadata.items()
        if _is_register_key(key)
    }


def _metadata_changes(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, Value]:
    changes: dict[str, Value] = {
        META_PREFIX + key: [] for key in old if key not in new and _is_register_key(key)
    }
    for key, value in new.items():
        if _is_register_key(key) and (key not in old or old[key] != value):
            changes[META_PREFIX + key] = [cast("Value", value)]
    return changes


def project_link(key: str, cells: Cells) -> MemoryLink | None:
    """The link of a state, or None while it is gone or partial."""
    if _value(cells, "life") != LIVE or "facts" not in cells:
        return None
    source_id, target_id, relation = split_link_key(key)
    facts = cells["facts"]
    created_at, valid_from, observed_by, signature, attest_level = cast(
        "list[Value]",
        _value(cells, "facts"),
    )
    until = cells.get("valid_until")
    # A signature covers valid_until, so one that is set later ends it (semantics 1.10).
    outdated = (
        isinstance(until, Written) and isinstance(facts, Written) and until.stamp > facts.stamp
    )
    return MemoryLink(
        source_id=source_id,
        target_id=target_id,
        relation=relation,
        created_at=cast("str", created_at),
        valid_from=cast("str | None", valid_from),
        valid_until=cast("str | None", _value(cells, "valid_until")),
        observed_by=cast("str | None", observed_by),
        attest_level=UNSIGNED if outdated else _attest_level(attest_level, signature),
        signature=None if outdated else cast("bytes | None", signature),
    )


def _attest_level(level: Value, signature: Value) -> str | None:
    """The level as a row may show it: another release's word, or one unproven, is none here."""
    if level is None or level == UNSIGNED:
        return level
    is_proven = isinstance(signature, bytes) and len(signature) == SIGNATURE_BYTES
    return level if level in ATTESTED_LEVELS and is_proven else UNSIGNED


@dataclass(frozen=True, slots=True)
class EntityAlias:
    """A name of an entity."""

    entity_id: str
    alias: str
    created_at: str


def project_alias(key: str, cells: Cells) -> EntityAlias | None:
    """The alias of a state, or None when it is gone."""
    if _value(cells, "life") != LIVE:
        return None
    entity_id, alias = split_alias_key(key)
    return EntityAlias(entity_id, alias, cast("str", _value(cells, "created")))


@dataclass(frozen=True, slots=True)
class StandardBinding:
    """Which memory is the standard of a namespace."""

    namespace: str
    standard_id: str
    parent_namespace: str | None
    updated_at: str


def project_standard(key: str, cells: Cells) -> StandardBinding | None:
    """The binding of a state, or None when it was cleared."""
    binding = _value(cells, "binding")
    if not isinstance(binding, list):
        return None
    standard_id, parent, updated_at = cast("list[str]", binding)
    return StandardBinding(key, standard_id, parent, updated_at)


@dataclass(frozen=True, slots=True)
class Membership:
    """What was last said of a node: `joined`, `left` or `expired`, and since when."""

    node_id: str
    state: str
    detail: Value
    since: str


def project_member(key: str, cells: Cells) -> Membership:
    """The membership of a state."""
    membership = cast("Written", cells["membership"])
    state, detail = cast("list[Value]", membership.value)
    at = from_epoch_milliseconds(wall_milliseconds(membership.stamp.hlc))
    return Membership(key, cast("str", state), detail, format_instant(at))


def is_archived(found: Snapshot) -> bool:
    """Whether an entry moved the memory to the archive."""
    return found.life == ARCHIVED

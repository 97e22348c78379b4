"""The merged state of one thing: its registers, their rules, their bytes.

A state is a map register → cell. What a kind of thing has for registers is a
table here (ADR-1), so a new field is one line.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from app.log.canonical import CanonicalError, Value, decode, encode
from app.log.hlc import Stamp
from app.log.registers import (
    COUNTERS,
    FIRST_WRITER,
    LAST_WRITER,
    MAXIMUM,
    RANKED_FIRST_WRITER,
    RANKED_LAST_WRITER,
    Cell,
    Cells,
    Rule,
    Written,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

META_PREFIX: Final = "meta."
"""`meta.<key>`: one register a top-level metadata key, `[value]` or `[]` for removed."""
VOTE_PREFIX: Final = "vote."

LIVE, ARCHIVED, DELETED, PURGED = "live", "archived", "deleted", "purged"


class EntityKey(NamedTuple):
    """What a state belongs to, such as `("memory", id)`."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Schema:
    """The registers of one kind of thing."""

    fixed: Mapping[str, Rule]
    prefixed: Mapping[str, Rule]

    def rule(self, register: str) -> Rule | None:
        """The rule of `register`, or None when the kind has no such register."""
        found = self.fixed.get(register)
        if found is not None:
            return found
        for prefix, rule in self.prefixed.items():
            if register.startswith(prefix):
                return rule
        return None


MEMORY_SCHEMA: Final = Schema(
    fixed=MappingProxyType(
        {
            "name": LAST_WRITER,  # [namespace, title]
            "body": LAST_WRITER,  # [content, citations, source_uri, source_span, source]
            "tags": LAST_WRITER,
            "priority": LAST_WRITER,  # [priority, accesses when written]
            "confidence": LAST_WRITER,  # [confidence, source, signals, decayed_at]
            "owner": RANKED_FIRST_WRITER,  # [1 if "system" else 0, agent_id]
            "tier": MAXIMUM,  # [rank, accesses when written]
            "expires": LAST_WRITER,  # text or null
            "touched_expires": MAXIMUM,  # [hlc, origin of the base it extends, text]
            # [1 if purged else 0, life, reason, at]: erasure is final, all else last writer
            "life": RANKED_LAST_WRITER,
            "updates": COUNTERS,
            "accesses": COUNTERS,
            "accessed": MAXIMUM,
            "created": FIRST_WRITER,
            "updated": MAXIMUM,
            "kind": RANKED_LAST_WRITER,  # [1 if sticky else 0, kind]
            "depth": MAXIMUM,
            "persona": LAST_WRITER,  # [entity_id, persona_version]
            "atoms": LAST_WRITER,  # [atomised_into, atom_of]
        },
    ),
    prefixed=MappingProxyType({META_PREFIX: LAST_WRITER}),
)

LINK_SCHEMA: Final = Schema(
    fixed=MappingProxyType(
        {
            "life": LAST_WRITER,
            "facts": LAST_WRITER,  # [created_at, valid_from, observed_by, signature, attest_level]
            "valid_until": LAST_WRITER,
        },
    ),
    prefixed=MappingProxyType({}),
)

ALIAS_SCHEMA: Final = Schema(
    fixed=MappingProxyType({"life": LAST_WRITER, "created": FIRST_WRITER}),
    prefixed=MappingProxyType({}),
)

STANDARD_SCHEMA: Final = Schema(
    # [standard_id, parent_namespace, updated_at] or null when cleared
    fixed=MappingProxyType({"binding": LAST_WRITER}),
    prefixed=MappingProxyType({}),
)

MEMBER_SCHEMA: Final = Schema(
    fixed=MappingProxyType({"membership": LAST_WRITER}),
    prefixed=MappingProxyType({}),
)

FLOOR_SCHEMA: Final = Schema(
    fixed=MappingProxyType({"below": MAXIMUM}),  # a clock: see app.log.forgetting
    prefixed=MappingProxyType({}),
)

PENDING_SCHEMA: Final = Schema(
    fixed=MappingProxyType(
        {
            "request": FIRST_WRITER,
            # [0 if rejected else 1, …]: reject beats approve, then the earliest decision
            "decision": RANKED_FIRST_WRITER,
        },
    ),
    prefixed=MappingProxyType({VOTE_PREFIX: FIRST_WRITER}),
)

SCHEMAS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "memory": MEMORY_SCHEMA,
        "link": LINK_SCHEMA,
        "alias": ALIAS_SCHEMA,
        "standard": STANDARD_SCHEMA,
        "member": MEMBER_SCHEMA,
        "floor": FLOOR_SCHEMA,
        "pending": PENDING_SCHEMA,
    },
)


def is_purged(cells: Cells) -> bool:
    """Whether the content was erased for good."""
    life = cells.get("life")
    return isinstance(life, Written) and isinstance(life.value, list) and life.value[0] == 1


def join(kind: str, left: Cells, right: Cells) -> Cells:
    """The least state at or above both: `left` itself when `right` adds nothing.

    Registers are joined one by one. A purged memory keeps its life register only, whatever else
    arrives later or arrived before: purging is absorbing, so the order does not matter.
    """
    changed = _changed(SCHEMAS[kind], left, right) if left else dict(right)
    if not changed:
        return left
    merged = {**left, **changed}
    if kind == "memory" and is_purged(merged):
        return (
            left
            if len(left) == 1 and merged["life"] is left.get("life")
            else {"life": merged["life"]}
        )
    return merged


def _changed(schema: Schema, left: Cells, right: Cells) -> dict[str, Cell]:
    changed: dict[str, Cell] = {}
    for register, cell in right.items():
        if register not in left:
            changed[register] = cell
            continue
        rule = schema.rule(register)
        if rule is None:
            raise KeyError(register)
        mine = left[register]
        joined = rule.join(mine, cell)
        if joined is not mine:
            changed[register] = joined
    return changed


def encode_state(cells: Cells) -> bytes:
    """Canonical bytes `[stamps, {register: value}, indexes]`.

    Each register with a stamp has an index into the stamps, in the order of the registers' names.
    Indexes stand apart because a list around each value would double the cost of encoding.
    """
    stamps = sorted({cell.stamp for cell in cells.values() if isinstance(cell, Written)})
    index = {stamp: number for number, stamp in enumerate(stamps)}
    body: dict[str, Value] = {}
    indexes: list[Value] = []
    for register in sorted(cells):
        cell = cells[register]
        if isinstance(cell, Written):
            body[register] = cell.value
            indexes.append(index[cell.stamp])
        else:
            body[register] = cell
    return encode([[[stamp.hlc, stamp.origin] for stamp in stamps], body, indexes])


def decode_state(kind: str, data: bytes) -> dict[str, Cell]:
    """The inverse of `encode_state`.

    Raises:
        CanonicalError: not the bytes of a state of this kind.
    """
    packed = decode(data)
    if not isinstance(packed, list) or len(packed) != 3:  # noqa: PLR2004 - as written above
        raise CanonicalError("a state has three parts")
    table, body, indexes = packed
    if not (isinstance(table, list) and isinstance(body, dict) and isinstance(indexes, list)):
        raise CanonicalError("a state is stamps, registers and indexes")
    stamps = [_stamp(one) for one in table]
    waiting = iter(indexes)
    schema = SCHEMAS[kind]
    cells: dict[str, Cell] = {}
    for register in sorted(body):
        rule = schema.rule(register)
        if rule is None:
            raise CanonicalError(f"no register {register}")
        value = body[register]
        cells[register] = (
            Written(value, _at(stamps, next(waiting, None))) if rule.stamped else value
        )
    if next(waiting, None) is not None:
        raise CanonicalError("more indexes than stamped registers")
    return cells


def _stamp(packed: Value) -> Stamp:
    if isinstance(packed, list) and len(packed) == 2:  # noqa: PLR2004 - a pair
        hlc, origin = packed
        if isinstance(hlc, int) and isinstance(origin, str):
            return Stamp(hlc, origin)
    raise CanonicalError("a stamp is a number and an origin")


def _at(stamps: list[Stamp], index: Value) -> Stamp:
    if isinstance(index, int) and 0 <= index < len(stamps):
        return stamps[index]
    raise CanonicalError("a register without a stamp")


def row_hash(key: EntityKey, state: bytes) -> bytes:
    """SHA-256 over kind, key and canonical state: what digests and the scrubber compare."""
    return sha256(f"{key.kind}\x00{key.key}\x00".encode() + state).digest()

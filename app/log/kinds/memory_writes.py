"""Writes to a memory's registers, the common part of most kinds.

On the wire: `{"id": id, "registers": {register: value}}`. Counters are sent as
this origin's own total. Values are checked here, so that every stored state
can be projected into rows.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from app.domain.memory import MEMORY_KINDS, TIERS_BY_RANK
from app.log.kinds.effect import Effect, is_instant, mapping, refuse, text
from app.log.registers import COUNTERS, Cell, Written
from app.log.state import LIVE, MEMORY_SCHEMA, META_PREFIX, EntityKey

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from app.log.canonical import Value
    from app.log.hlc import Stamp

BODY_WIDTH: Final = 5
ID_CHARACTERS_MAX: Final = 128
_CONFIDENCE_WIDTH: Final = 4
_LIFE_WIDTH: Final = 4

LIVE_LIFE: Final[list[Value]] = [0, LIVE, None, None]


def _whole(value: Value, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _text_or_null(value: Value) -> bool:
    return value is None or isinstance(value, str)


def _instant_or_null(value: Value) -> bool:
    return value is None or is_instant(value)


def _json(value: Value) -> bool:
    """Whether JSON can carry a value: no bytes, no float without a number."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, bytes) or (isinstance(one, float) and not isfinite(one)):
            return False
    return True


def _pair_of_texts(value: Value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - a pair
        and isinstance(value[0], str)
        and isinstance(value[1], str)
    )


def _body(value: Value) -> bool:
    if not isinstance(value, list) or len(value) != BODY_WIDTH:
        return False
    content, citations, source_uri, span, source = value
    return (
        isinstance(content, str)
        and isinstance(citations, list)
        and _text_or_null(source_uri)
        and (span is None or isinstance(span, dict))
        and isinstance(source, str)
        and (not citations or _json(citations))
        and (span is None or _json(span))
    )


def _confidence(value: Value) -> bool:
    if not isinstance(value, list) or len(value) != _CONFIDENCE_WIDTH:
        return False
    confidence, source, signals, decayed_at = value
    return (
        isinstance(confidence, int | float)
        and not isinstance(confidence, bool)
        and 0.0 <= confidence <= 1.0
        and isinstance(source, str)
        and (signals is None or (isinstance(signals, dict) and _json(signals)))
        and _instant_or_null(decayed_at)
    )


def _ranked(value: Value, words: Collection[str] | None) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - a pair
        and _whole(value[0], 0, 1)
        and isinstance(value[1], str)
        and (words is None or value[1] in words)
    )


def _with_count(value: Value, low: int, high: int) -> bool:
    """Whether a value is a number in its limits and the accesses at that time."""
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - a pair
        and _whole(value[0], low, high)
        and _whole(value[1], 0, _COUNT_MAX)
    )


def _life(value: Value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == _LIFE_WIDTH
        and _whole(value[0], 0, 1)
        and value[1] in {"live", "archived", "deleted", "purged"}
        and (value[0] == 1) == (value[1] == "purged")
        and _text_or_null(value[2])
        and _instant_or_null(value[3])
    )


def _touched_expires(value: Value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3  # noqa: PLR2004 - hlc, origin, text
        and _whole(value[0], 0, _COUNT_MAX)
        and isinstance(value[1], str)
        and is_instant(value[2])
    )


_COUNT_MAX: Final = (1 << 63) - 1

_CHECKS: Final[Mapping[str, Callable[[Value], bool]]] = {
    "name": _pair_of_texts,
    "body": _body,
    "tags": lambda v: isinstance(v, list) and all(isinstance(tag, str) for tag in v),
    "priority": lambda v: _with_count(v, 1, 10),
    "confidence": _confidence,
    "owner": lambda v: _ranked(v, None),
    "tier": lambda v: _with_count(v, 0, len(TIERS_BY_RANK) - 1),
    "expires": _instant_or_null,
    "touched_expires": _touched_expires,
    "life": _life,
    "updates": lambda v: _whole(v, 0, _COUNT_MAX),
    "accesses": lambda v: _whole(v, 0, _COUNT_MAX),
    "accessed": is_instant,
    "created": is_instant,
    "updated": is_instant,
    "kind": lambda v: _ranked(v, MEMORY_KINDS),
    "depth": lambda v: _whole(v, 0, 1 << 31),
    "persona": lambda v: (
        isinstance(v, list)
        and len(v) == 2  # noqa: PLR2004 - a pair
        and _text_or_null(v[0])
        and (v[1] is None or _whole(v[1], 0, 1 << 31))
    ),
    "atoms": lambda v: (
        isinstance(v, list)
        and len(v) == 2  # noqa: PLR2004 - a pair
        and (v[0] is None or _whole(v[0], 0, 1 << 31))
        and _text_or_null(v[1])
    ),
}

_COUNTERS: Final = frozenset(
    register for register, rule in MEMORY_SCHEMA.fixed.items() if rule is COUNTERS
)


def memory_effect(value: Value, stamp: Stamp, *, allowed: Collection[str] | None = None) -> Effect:
    """The cells of one `{"id", "registers"}`.

    Args:
        value: the wire form.
        stamp: of the entry that carries it.
        allowed: the registers that the kind may write, `meta.` for metadata; None for all.

    Raises:
        EntryRefusedError: malformed, an unknown register, or one not `allowed`.
    """
    write = mapping(value, "the memory write")
    memory_id = checked_id(text(write, "id"))
    cells: dict[str, Cell] = {}
    for register, content in mapping(write.get("registers"), "registers").items():
        cells[register] = _cell(register, content, stamp, allowed)
    return Effect(EntityKey("memory", memory_id), cells)


def checked_id(memory_id: str) -> str:
    """`memory_id`, if it can be one.

    Raises:
        EntryRefusedError: empty or too long.
    """
    if not memory_id or len(memory_id) > ID_CHARACTERS_MAX:
        raise refuse("the memory id is empty or too long")
    return memory_id


def _cell(register: str, content: Value, stamp: Stamp, allowed: Collection[str] | None) -> Cell:
    check = _CHECKS.get(register)
    if allowed is not None and (register if check else META_PREFIX) not in allowed:
        raise refuse(f"this kind does not write {register}")
    if check is None:
        return _metadata_cell(register, content, stamp)
    if not check(content):
        raise refuse(f"{register} is malformed")
    if register in _COUNTERS:
        return {stamp.origin: content}
    rule = MEMORY_SCHEMA.fixed[register]
    return Written(content, stamp) if rule.stamped else content


def check_register(register: str, cell: Cell) -> None:
    """Let a register of a whole state pass.

    Raises:
        EntryRefusedError: its value is none that an entry could have written.
    """
    value = cell.value if isinstance(cell, Written) else cell
    check = _CHECKS.get(register)
    if check is None:
        _check_metadata(register, value)
    elif register in _COUNTERS:
        totals = mapping(value, register)
        if not all(check(total) for total in totals.values()):
            raise refuse(f"{register} is malformed")
    elif not check(value):
        raise refuse(f"{register} is malformed")


def _metadata_cell(register: str, content: Value, stamp: Stamp) -> Cell:
    _check_metadata(register, content)
    return Written(content, stamp)


def _check_metadata(register: str, content: Value) -> None:
    if not register.startswith(META_PREFIX):
        raise refuse(f"unknown register {register!r}")
    if not isinstance(content, list) or len(content) > 1 or not _json(content):
        raise refuse(f"{register} is neither [value] nor []")

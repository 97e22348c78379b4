"""Writes to a memory's registers, the common part of most kinds.

On the wire: `{"id": id, "registers": {register: value}}`. Counters are sent as
this origin's own total. Values are checked here, so that every stored state
can be projected into rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.memory import MEMORY_KINDS, TIERS_BY_RANK
from app.log.kinds.effect import Effect, mapping, refuse, text
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
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _text_or_null(value: Value) -> bool:
    return value is None or isinstance(value, str)


def _pair_of_texts(value: Value) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)  # noqa: PLR2004 - a pair


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
        and (signals is None or isinstance(signals, dict))
        and _text_or_null(decayed_at)
    )


def _ranked(value: Value, words: Collection[str] | None) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - a pair
        and _whole(value[0], 0, 1)
        and isinstance(value[1], str)
        and (words is None or value[1] in words)
    )


def _numbers(value: Value, limits: tuple[tuple[int, int], ...]) -> bool:
    return (
        isinstance(value, list)
        and len(value) == len(limits)
        and all(_whole(one, low, high) for one, (low, high) in zip(value, limits, strict=True))
    )


def _life(value: Value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == _LIFE_WIDTH
        and _whole(value[0], 0, 1)
        and value[1] in {"live", "archived", "deleted", "purged"}
        and (value[0] == 1) == (value[1] == "purged")
        and _text_or_null(value[2])
        and _text_or_null(value[3])
    )


def _touched_expires(value: Value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3  # noqa: PLR2004 - hlc, origin, text
        and _whole(value[0], 0, _COUNT_MAX)
        and isinstance(value[1], str)
        and isinstance(value[2], str)
    )


_COUNT_MAX: Final = (1 << 63) - 1

_CHECKS: Final[Mapping[str, Callable[[Value], bool]]] = {
    "name": _pair_of_texts,
    "body": _body,
    "tags": lambda v: isinstance(v, list) and all(isinstance(tag, str) for tag in v),
    "priority": lambda v: _numbers(v, ((1, 10), (0, _COUNT_MAX))),
    "confidence": _confidence,
    "owner": lambda v: _ranked(v, None),
    "tier": lambda v: _numbers(v, ((0, len(TIERS_BY_RANK) - 1), (0, _COUNT_MAX))),
    "expires": _text_or_null,
    "touched_expires": _touched_expires,
    "life": _life,
    "updates": lambda v: _whole(v, 0, _COUNT_MAX),
    "accesses": lambda v: _whole(v, 0, _COUNT_MAX),
    "accessed": lambda v: isinstance(v, str),
    "created": lambda v: isinstance(v, str),
    "updated": lambda v: isinstance(v, str),
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


def memory_effect(value: Value, stamp: Stamp, *, allowed: Collection[str] | None = None) -> Effect:
    """The cells of one `{"id", "registers"}`.

    Args:
        value: the wire form.
        stamp: of the entry that carries it.
        allowed: the fixed registers that the kind may write; None for all.

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
    rule = MEMORY_SCHEMA.rule(register)
    if rule is None:
        raise refuse(f"unknown register {register!r}")
    if register.startswith(META_PREFIX):
        if not isinstance(content, list) or len(content) > 1:
            raise refuse(f"{register} is neither [value] nor []")
    else:
        if allowed is not None and register not in allowed:
            raise refuse(f"this kind does not write {register}")
        if not _CHECKS[register](content):
            raise refuse(f"{register} is malformed")
    if rule is COUNTERS:
        return {stamp.origin: content}
    return Written(content, stamp) if rule.stamped else content

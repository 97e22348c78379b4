"""Whole states from elsewhere: checked as strictly as the entries that they were merged from.

So every state that is joined can be shown by every store, and none is stamped in a future that no
clock may reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.errors import EntryRefusedError
from app.domain.memory import RELATIONS
from app.log.canonical import CanonicalError, Value
from app.log.forgetting import FLOOR, MARGIN
from app.log.hlc import HLC_MAX
from app.log.kinds.effect import is_instant, refuse
from app.log.kinds.links import SEPARATOR
from app.log.kinds.member import MEMBERSHIPS
from app.log.kinds.memory_writes import check_register, checked_id
from app.log.registers import Written
from app.log.state import DELETED, LIVE, SCHEMAS, EntityKey, decode_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.log.registers import Cell, Cells

_FACTS_WIDTH: Final = 5
_BINDING_WIDTH: Final = 3
_DECISION_WIDTH: Final = 3
_LINK_PARTS: Final = 3


def opened_state(kind: str, key: str, state: bytes) -> tuple[EntityKey, Cells]:
    """The registers of a whole state.

    Raises:
        EntryRefusedError: malformed, or of a kind that this version does not know.
    """
    if kind not in SCHEMAS:
        raise refuse(f"no state is called {kind!r}")
    try:
        cells = decode_state(kind, state)
    except CanonicalError as error:
        raise refuse(f"{kind} {key}: {error}") from error
    try:
        _check(kind, key, cells)
    except EntryRefusedError as error:
        raise refuse(f"{kind} {key}: {error.message}") from error
    return EntityKey(kind, key), cells


def _check(kind: str, key: str, cells: Cells) -> None:
    if kind == "memory":
        checked_id(key)
        for register, cell in cells.items():
            check_register(register, cell)
        return
    if not _KEYS[kind](key):
        raise refuse("the key is malformed")
    if kind == "alias" and len(cells) != len(SCHEMAS[kind].fixed):
        raise refuse("an alias lacks a register")  # entries write both at once
    for register, cell in cells.items():
        check = _VALUES.get((kind, register), _vote)
        if not check(_value(cell)):
            raise refuse(f"{register} is malformed")


def _value(cell: Cell) -> Value:
    return cell.value if isinstance(cell, Written) else cell


def _is_link(key: str) -> bool:
    parts = key.split(SEPARATOR)
    if len(parts) != _LINK_PARTS:
        return False
    source_id, target_id, relation = parts
    return checked_id(source_id) != checked_id(target_id) and relation in RELATIONS


def _text_or_null(value: Value) -> bool:
    return value is None or isinstance(value, str)


def _instant_or_null(value: Value) -> bool:
    return value is None or is_instant(value)


def _facts(value: Value) -> bool:
    if not isinstance(value, list) or len(value) != _FACTS_WIDTH:
        return False
    created_at, valid_from, observed_by, signature, attest_level = value
    return (
        is_instant(created_at)
        and _instant_or_null(valid_from)
        and _text_or_null(observed_by)
        and (signature is None or isinstance(signature, bytes))
        and _text_or_null(attest_level)
    )


def _binding(value: Value) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or len(value) != _BINDING_WIDTH:
        return False
    standard_id, parent, updated_at = value
    return isinstance(standard_id, str) and _text_or_null(parent) and is_instant(updated_at)


def _membership(value: Value) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in MEMBERSHIPS  # noqa: PLR2004 - state and detail


def _decision(value: Value) -> bool:
    return (
        isinstance(value, list)
        and len(value) == _DECISION_WIDTH
        and value[0] in {0, 1}
        and all(isinstance(one, str) for one in value[1:])
    )


def _clock(value: Value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= HLC_MAX - MARGIN


def _life(value: Value) -> bool:
    return value in {LIVE, DELETED}


def _vote(value: Value) -> bool:
    return isinstance(value, str)


_KEYS: Final[Mapping[str, Callable[[str], bool]]] = {
    "link": _is_link,
    "alias": lambda key: SEPARATOR in key,
    "standard": lambda _: True,
    "member": lambda _: True,
    "floor": lambda key: key == FLOOR.key,
    "pending": lambda _: True,
}
_VALUES: Final[Mapping[tuple[str, str], Callable[[Value], bool]]] = {
    ("link", "life"): _life,
    ("link", "facts"): _facts,
    ("link", "valid_until"): _instant_or_null,
    ("alias", "life"): _life,
    ("alias", "created"): is_instant,
    ("standard", "binding"): _binding,
    ("member", "membership"): _membership,
    ("floor", "below"): _clock,
    ("pending", "request"): lambda value: isinstance(value, dict),
    ("pending", "decision"): _decision,
}

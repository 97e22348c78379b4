"""What an entry does: cells to be joined into the states of the things it names."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from app.domain.errors import EntryRefusedError
from app.domain.timestamps import TimestampError, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp
    from app.log.registers import Cell
    from app.log.state import EntityKey

_CANONICAL_INSTANT_CHARACTERS: Final = 32


class Effect(NamedTuple):
    """Cells for one thing."""

    key: EntityKey
    cells: Mapping[str, Cell]


class Vector(NamedTuple):
    """An embedding, kept beside the states: derived from a row, digested by nobody."""

    memory_id: str
    content_hash: bytes
    model: str
    dim: int
    half_floats: bytes
    stamp: Stamp


class Kind(Protocol):
    """One kind of entry: its name, and what its payload does."""

    name: str

    def effects(self, payload: Mapping[str, Value], stamp: Stamp) -> Sequence[Effect]:
        """The cells that the payload writes.

        Raises:
            EntryRefusedError: `malformed_payload`; nothing of the entry is applied.
        """
        ...


def refuse(message: str) -> EntryRefusedError:
    """The error for a payload that does not fit its kind."""
    return EntryRefusedError(message, reason="malformed_payload")


def text(payload: Mapping[str, Value], key: str) -> str:
    """A required text.

    Raises:
        EntryRefusedError: missing or of another type.
    """
    value = payload.get(key)
    if not isinstance(value, str):
        raise refuse(f"{key} is not a text")
    return value


def optional_text(payload: Mapping[str, Value], key: str) -> str | None:
    """A text or null.

    Raises:
        EntryRefusedError: of another type.
    """
    value = payload.get(key)
    if value is not None and not isinstance(value, str):
        raise refuse(f"{key} is not a text")
    return value


def is_instant(value: Value) -> bool:
    """Whether a value is RFC 3339 text, which every store can project into a timestamp."""
    if not isinstance(value, str):
        return False
    try:
        # The form that we write is read several times as fast.
        is_ours = len(value) == _CANONICAL_INSTANT_CHARACTERS and value[26:] == "+00:00"
        if is_ours and value[10] == "T" and value[19] == ".":
            datetime.fromisoformat(value)
        else:
            parse_instant(value)
    except (TimestampError, ValueError):
        return False
    return True


def instant(payload: Mapping[str, Value], key: str) -> str:
    """A required timestamp.

    Raises:
        EntryRefusedError: missing, of another type, or no RFC 3339 text.
    """
    value = text(payload, key)
    if not is_instant(value):
        raise refuse(f"{key} is not a timestamp")
    return value


def optional_instant(payload: Mapping[str, Value], key: str) -> str | None:
    """A timestamp or null.

    Raises:
        EntryRefusedError: anything else.
    """
    return None if payload.get(key) is None else instant(payload, key)


def texts(payload: Mapping[str, Value], key: str) -> list[str]:
    """A required list of texts.

    Raises:
        EntryRefusedError: missing or of another type.
    """
    value = payload.get(key)
    if not isinstance(value, list):
        raise refuse(f"{key} is not a list")
    found = [one for one in value if isinstance(one, str)]
    if len(found) != len(value):
        raise refuse(f"{key} holds something other than texts")
    return found


def mapping(value: Value, what: str) -> dict[str, Value]:
    """A required map.

    Raises:
        EntryRefusedError: of another type.
    """
    if not isinstance(value, dict):
        raise refuse(f"{what} is not a map")
    return value


def items(payload: Mapping[str, Value], key: str) -> list[Value]:
    """A list, empty when absent.

    Raises:
        EntryRefusedError: of another type.
    """
    value = payload.get(key, [])
    if not isinstance(value, list):
        raise refuse(f"{key} is not a list")
    return value

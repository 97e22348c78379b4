"""TOON: memories as a compact table (http-api 4.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Memory

FORMATS: Final = ("json", "toon", "toon_compact")

_COMPACT: Final = ("id", "title", "tier", "namespace", "priority", "score", "tags", "agent_id")
_FULL: Final = (
    "id",
    "title",
    "tier",
    "namespace",
    "priority",
    "confidence",
    "score",
    "access_count",
    "tags",
    "source",
    "created_at",
    "updated_at",
    "metadata",
)
_ESCAPED: Final = re.compile(r"[|\n\r\\:]")
_ESCAPES: Final = {"|": "\\|", "\n": "\\n", "\r": "\\r", "\\": "\\\\", ":": "\\:"}


@dataclass(frozen=True, slots=True)
class Row:
    """A memory, and its score where there is one."""

    memory: Memory
    score: float | None = None


def render(rows: Sequence[Row], head: Mapping[str, str | int | None], *, compact: bool) -> str:
    """The table. `head` are the values of the first line; those that are None are left out."""
    fields = _COMPACT if compact else _FULL
    first = "|".join(f"{key}:{value}" for key, value in head.items() if value is not None)
    lines = [first, f"memories[{'|'.join(fields)}]:"]
    lines.extend("|".join(_escaped(_value(row, name)) for name in fields) for row in rows)
    return "\n".join(lines)


def _value(row: Row, name: str) -> str:
    if name == "score":
        return "" if row.score is None else _text(row.score)
    if name == "agent_id":
        return row.memory.owner or ""
    if name == "tags":
        return ",".join(row.memory.tags)
    if name == "metadata":
        return msgspec.json.encode(row.memory.metadata).decode()
    return _text(getattr(row.memory, name))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found.group()], text)

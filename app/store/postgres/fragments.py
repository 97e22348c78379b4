"""Driver text with its parameters beside it, so that the order of both is kept by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a statement: our own text, and values for its placeholders."""

    text: str
    values: tuple[object, ...] = ()

    def __add__(self, other: Fragment) -> Fragment:
        return Fragment(self.text + other.text, self.values + other.values)


def fragment(text: str, *values: object) -> Fragment:
    """A text whose placeholders (`%s`) stand for these values."""
    return Fragment(text, values)


def joined(parts: Iterable[Fragment], between: str) -> Fragment:
    """All of them with a text between two."""
    all_parts = list(parts)
    return Fragment(
        between.join(part.text for part in all_parts),
        tuple(value for part in all_parts for value in part.values),
    )


def rows(connection: psycopg.Connection, statement: Fragment) -> Sequence[tuple[Any, ...]]:
    """What a statement gives.

    Never prepared: a plan for any value would read a tsquery or a vector anew at every row.
    """
    return connection.execute(statement.text.encode(), statement.values, prepare=False).fetchall()

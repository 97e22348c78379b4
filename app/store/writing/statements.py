"""What the engine asks of a database, declared from the tables; adapters render it.

The values of rows and parameters are what SQLite stores: text, bytes and numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class Keep:
    """A row whose keys are there already stays as it is."""


@dataclass(frozen=True, slots=True)
class Replace:
    """A row whose `keys` are there already gets the new values of `columns`."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]


# Compared by identity: an adapter keeps what it rendered beside each.
@dataclass(frozen=True, eq=False)
class Insert:
    """Rows of `columns`. Without a conflict rule a row that is there already is an error.

    `feeds_text_index`: on a database whose text index is fed row by row, gathered rows are cheaper.
    """

    table: Table
    columns: tuple[str, ...]
    conflict: Keep | Replace | None = None
    feeds_text_index: bool = False

    def __post_init__(self) -> None:
        _check(self.table, self.columns)
        if isinstance(self.conflict, Replace):
            _check(self.table, (*self.conflict.keys, *self.conflict.columns))


@dataclass(frozen=True, eq=False)
class Update:
    """Set `columns` of rows by key; a row is (key, *values). A key may be missing."""

    table: Table
    key: str
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self.table, (self.key, *self.columns))


@dataclass(frozen=True, eq=False)
class Delete:
    """Remove the rows of `keys`; a row is the keys' values."""

    table: Table
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self.table, self.keys)


@dataclass(frozen=True, eq=False)
class Select:
    """`columns` of the rows of `keys`; a parameter is the keys' values.

    `for_change`: no other writer may change them before this transaction ends.
    """

    table: Table
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    for_change: bool = False

    def __post_init__(self) -> None:
        _check(self.table, (*self.columns, *self.keys))


@dataclass(frozen=True, eq=False)
class Query:
    """A read that both databases understand, `?` for each parameter."""

    text: str


@dataclass(frozen=True, eq=False)
class Change:
    """A write that both databases understand, `?` for each value of a row; for few rows."""

    text: str


@dataclass(frozen=True, eq=False)
class ChangeEach:
    """A write by a set of rows that each database must be told in its own words.

    `sqlite` reads the rows from `json_each(?) AS given`, `postgresql` from `{given}`, columns named
    as in `columns`, all text.
    """

    columns: tuple[str, ...]
    sqlite: str
    postgresql: str


Read: TypeAlias = Select | Query
Write: TypeAlias = Insert | Update | Delete | Change | ChangeEach


def _check(table: Table, columns: tuple[str, ...]) -> None:
    """Unknown columns fail at import, not when a row is written."""
    unknown = set(columns) - set(table.c.keys())
    if unknown:
        raise KeyError(f"{table.name} has no columns {sorted(unknown)}")

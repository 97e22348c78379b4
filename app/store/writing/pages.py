"""Reading a table page by page in the order of its key, a few megabytes at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, cast

from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Table

    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Reader, Row

PAGE_BYTES: Final = 8 * 1024 * 1024
_FIRST_ROWS: Final = 100


@dataclass(frozen=True, eq=False)
class Listing:
    """Columns of a table, those of its key first."""

    table: Table
    columns: tuple[str, ...]
    key_columns: int
    first: Query
    following: Query

    def key_of(self, row: Row) -> tuple[SqlValue, ...]:
        """The row's key."""
        return tuple(row[: self.key_columns])


@cache
def listing(table: Table, chosen: tuple[str, ...] | None = None) -> Listing:
    """How a table is read: its key and the chosen columns, or all if none of them is computed."""
    keys = [column.name for column in table.primary_key]
    others = table.c.keys() if chosen is None else chosen
    columns = (*keys, *(name for name in others if name not in keys))
    select = f"SELECT {', '.join(columns)} FROM {table.name}"  # noqa: S608 - declared names
    order = f" ORDER BY {', '.join(keys)} LIMIT ?"
    after = f" WHERE ({', '.join(keys)}) > ({', '.join('?' * len(keys))})"
    return Listing(table, columns, len(keys), Query(select + order), Query(select + after + order))


@cache
def _counting(table: Table) -> Query:
    return Query(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - declared names


def count(reader: Reader, table: Table) -> int:
    """How many rows a table has."""
    return cast("int", reader.read(_counting(table), ())[0][0])


def pages(
    reader: Reader, listed: Listing, after: Sequence[SqlValue] | None, rows_max: int
) -> Iterator[Sequence[Row]]:
    """The rows whose keys come after `after`; all of them if it is None.

    A page has `rows_max` rows at most, and fewer where rows are long: about `PAGE_BYTES`.
    """
    size = min(_FIRST_ROWS, rows_max)
    while True:
        if after is None:
            page = reader.read(listed.first, (size,))
        else:
            page = reader.read(listed.following, (*after, size))
        if not page:
            return
        yield page
        after = listed.key_of(page[-1])
        weight = sum(len(one) for row in page for one in row if isinstance(one, bytes | str))
        size = max(1, min(rows_max, len(page) * PAGE_BYTES // max(weight, 1)))

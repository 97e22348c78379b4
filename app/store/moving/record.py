"""How far a move has come: a row in the store that is being filled, written with each page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import ConflictError
from app.log.canonical import decode, encode
from app.store.schema import UNFINISHED_MOVE
from app.store.writing.statements import Change, Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.log.canonical import Value
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Reader, Transaction

# Text alone, so that both databases understand it. The table is no part of the schema: it goes
# with the end of the move.
_CREATE: Final = Change(
    f"CREATE TABLE {UNFINISHED_MOVE} (source TEXT NOT NULL, mark TEXT NOT NULL,"
    " runner TEXT NOT NULL, place TEXT NOT NULL)"
)
_DROP: Final = Change(f"DROP TABLE {UNFINISHED_MOVE}")
_INSERT: Final = Change(
    f"INSERT INTO {UNFINISHED_MOVE} (source, mark, runner, place) VALUES (?, ?, ?, ?)"  # noqa: S608 - own name
)
_READ: Final = Query(f"SELECT source, mark, place FROM {UNFINISHED_MOVE}")  # noqa: S608 - own name
_TAKE: Final = Change(f"UPDATE {UNFINISHED_MOVE} SET runner = ?")  # noqa: S608 - own name
_ADVANCE: Final = Change(f"UPDATE {UNFINISHED_MOVE} SET place = ? WHERE runner = ?")  # noqa: S608 - own name
_MINE: Final = Query(f"SELECT count(*) FROM {UNFINISHED_MOVE} WHERE runner = ?")  # noqa: S608 - own name


@dataclass(frozen=True, slots=True)
class Place:
    """Where a move is: the table, the last key that was written of it, and how much is done."""

    table: str | None = None
    after: Sequence[SqlValue] | None = None
    rows: int = 0
    batches: int = 0

    def to_text(self) -> str:
        """As the record holds it."""
        after = None if self.after is None else cast("list[Value]", list(self.after))
        return encode([self.table, after, self.rows, self.batches]).hex()


def place_of(text: str) -> Place:
    """The inverse of `Place.to_text`."""
    table, after, rows, batches = cast("list[Value]", decode(bytes.fromhex(text)))
    return Place(
        cast("str | None", table),
        cast("list[SqlValue] | None", after),
        cast("int", rows),
        cast("int", batches),
    )


@dataclass(frozen=True, slots=True)
class Record:
    """A move that was begun: of which store, as it was when, and how far."""

    source: str
    mark: str
    place: Place


def read(reader: Reader) -> Record:
    """The record of an unfinished move."""
    ((source, mark, place),) = reader.read(_READ, ())
    return Record(cast("str", source), cast("str", mark), place_of(cast("str", place)))


def create(transaction: Transaction, source: str, mark: str, runner: str) -> None:
    """Begin a move."""
    transaction.write(_CREATE, [()])
    transaction.write(_INSERT, [(source, mark, runner, Place().to_text())])


def take(transaction: Transaction, runner: str) -> None:
    """Go on with a move; whoever else is at it finds out at its next page."""
    transaction.write(_TAKE, [(runner,)])


def advance(transaction: Transaction, runner: str, place: Place) -> None:
    """Note what this transaction adds.

    Raises:
        ConflictError: another process goes on with this move.
    """
    transaction.write(_ADVANCE, [(place.to_text(), runner)])
    if not transaction.read(_MINE, (runner,))[0][0]:
        raise ConflictError("another process goes on with this move; this one has stopped")


def drop(transaction: Transaction, runner: str) -> None:
    """End a move: from now on a node may open the store."""
    advance(transaction, runner, Place())
    transaction.write(_DROP, [()])

"""Selects that are built once for each filter, and asked again and again with other values.

Building and compiling a select of the size of ours takes five times as long as SQLite takes to
answer it. Callers ask with few filters that differ in the time only, so what was made for one is
kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar, cast

from sqlalchemy import bindparam

from app.store.sql.filters import NOW_PARAMETER
from app.store.sql.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import BindParameter, Select
    from sqlalchemy.engine.interfaces import Dialect
    from sqlalchemy.types import TypeEngine

    from app.store.sql.filters import MemoryFilter
    from app.store.sql.selects import SqlValue

T = TypeVar("T")
_KEPT_MAX: Final = 512


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """`make` gives the select for a filter; what else differs are bind parameters, by name."""

    make: Callable[[MemoryFilter], Select[*tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A select as driver text, its columns, and what its parameters are."""

    text: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    fixed: Mapping[str, SqlValue]

    def parameters(self, values: Mapping[str, SqlValue]) -> tuple[SqlValue, ...]:
        """In the text's order, those that `values` names taken from there."""
        known = {**self.fixed, **values}
        return tuple(known[name] for name in self.order)


class KnownSelects:
    """The latest of them for one dialect; safe to use from several threads."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kept: Kept[tuple[Known, MemoryFilter], Prepared] = Kept(_KEPT_MAX)

    def prepared(self, known: Known, chosen: MemoryFilter) -> Prepared:
        """The select for a filter, whatever its time."""
        key = (known, replace(chosen, now=""))
        return self._kept.get(key, lambda: self._made(known, chosen))

    def _made(self, known: Known, chosen: MemoryFilter) -> Prepared:
        statement = known.make(chosen)
        compiled = statement.compile(
            dialect=self._dialect, compile_kwargs={"render_postcompile": True}
        )
        return Prepared(
            str(compiled),
            tuple(cast("str", column.name) for column in statement.selected_columns),
            tuple(compiled.positiontup or ()),
            cast("Mapping[str, SqlValue]", dict(compiled.params)),
        )


def value(name: str, type_: TypeEngine[T] | type[TypeEngine[T]]) -> BindParameter[T]:
    """What a known select is asked with, by name."""
    # Not required, or it could not be compiled before it is known.
    return bindparam(name, type_=type_, required=False)


def asked(chosen: MemoryFilter, values: Mapping[str, SqlValue]) -> Mapping[str, SqlValue]:
    """The values of one question: its own, and the filter's time."""
    return {**values, NOW_PARAMETER: chosen.now}

"""SQLAlchemy statements as driver text, compiled once a shape (its SQL compilation caching)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter, ClauseElement
    from sqlalchemy.engine.interfaces import Compiled, Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

    from app.store.sql.selects import SqlValue

_COMPILED_MAX: Final = 512


class CompiledStatements:
    """Texts for one dialect, whose parameters are positional."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._by_key: dict[object, Compiled] = {}

    def text(self, statement: ClauseElement) -> tuple[str, tuple[SqlValue, ...]]:
        """Text and parameters, in order."""
        key = statement._generate_cache_key()  # noqa: SLF001 - the documented caching key has no public name
        if key is None:
            return _expanded(statement.compile(dialect=self._dialect), None)
        found = self._by_key.get(key.key)
        if found is None:
            if len(self._by_key) >= _COMPILED_MAX:
                self._by_key.clear()
            found = statement.compile(dialect=self._dialect, cache_key=key)
            self._by_key[key.key] = found
        return _expanded(found, key.bindparams)


def _expanded(
    compiled: Compiled, bound: Sequence[BindParameter[object]] | None
) -> tuple[str, tuple[SqlValue, ...]]:
    parameters = dict(compiled.construct_params(extracted_parameters=bound) or {})
    # IN lists have their length at execution time only.
    state = cast("SQLCompiler", compiled)._process_parameters_for_postcompile(parameters)  # noqa: SLF001 - what every engine does
    values = {**parameters, **state.additional_parameters}
    return state.statement, tuple(cast("SqlValue", values[one]) for one in state.positiontup or ())

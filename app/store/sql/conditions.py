"""Filters as driver text, kept: building and compiling one takes as long as the read it is for.

Callers ask with the same filter again and again, but for the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from app.store.sql.filters import MemoryFilter, conditions
from app.store.sql.kept import Kept

if TYPE_CHECKING:
    from app.store.sql.compiled import CompiledStatements
    from app.store.sql.selects import SqlValue

Condition: TypeAlias = "tuple[str, tuple[SqlValue, ...]]"
"""Driver text over `memories`, and its parameters in order."""

_KEPT_MAX: Final = 512
# Stands where the time goes; no filter can ask for it, as texts hold no control characters.
_NOW: Final = "\x00now"


class KnownConditions:
    """The latest filters; safe to use from several threads."""

    def __init__(self, compiled: CompiledStatements) -> None:
        self._compiled = compiled
        self._kept: Kept[MemoryFilter, Condition] = Kept(_KEPT_MAX)

    def of(self, chosen: MemoryFilter) -> Condition:
        """The filter's text and parameters."""
        timeless = replace(chosen, now=_NOW)
        text, parameters = self._kept.get(
            timeless, lambda: self._compiled.text(conditions(timeless))
        )
        return text, tuple(chosen.now if value == _NOW else value for value in parameters)

"""Filters as driver text, kept: building and compiling one takes as long as the read it is for.

Callers ask with the same filter again and again, but for the time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from app.store.sql.filters import MemoryFilter, conditions

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
        self._lock = threading.Lock()
        self._kept: OrderedDict[MemoryFilter, Condition] = OrderedDict()

    def of(self, chosen: MemoryFilter) -> Condition:
        """The filter's text and parameters."""
        timeless = replace(chosen, now=_NOW)
        try:
            text, parameters = self._known(timeless)
        except TypeError:  # a list among its values: not to be kept
            return self._compiled.text(conditions(chosen))
        return text, tuple(chosen.now if value == _NOW else value for value in parameters)

    def _known(self, timeless: MemoryFilter) -> Condition:
        with self._lock:
            found = self._kept.get(timeless)
            if found is not None:
                self._kept.move_to_end(timeless)
                return found
        found = self._compiled.text(conditions(timeless))
        with self._lock:
            self._kept[timeless] = found
            if len(self._kept) > _KEPT_MAX:
                self._kept.popitem(last=False)
        return found

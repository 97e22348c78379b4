"""The one thing a read needs from an adapter: run a select."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sqlalchemy import Select

    from app.store.sql.filters import MemoryFilter
    from app.store.sql.known import Known

SqlValue: TypeAlias = "int | float | str | bytes | None"
Record: TypeAlias = Mapping[str, SqlValue]


class Selects(ABC):
    """Runs selects on a consistent, committed snapshot, off the event loop."""

    @abstractmethod
    async def select(self, statement: Select[*tuple[object, ...]]) -> Sequence[Record]:
        """The rows, each as column name → value (text, numbers, bytes as SQLite stores them).

        Raises:
            StoreUnavailableError: the store cannot be read now.
        """

    @abstractmethod
    async def ask(self, known: Known, chosen: MemoryFilter, **values: SqlValue) -> Sequence[Record]:
        """The rows of a known select; `values` are its bind parameters.

        Raises:
            StoreUnavailableError: the store cannot be read now.
        """

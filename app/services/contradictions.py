"""Rows that a new memory may contradict, by title (semantics 5.10): advice beside a write."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain.errors import StoreUnavailableError
from app.domain.text import parse_query, title_likeness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.protocol import Store
    from app.store.sql.filters import MemoryFilter

_LIKENESS_MIN: Final = 0.30
_FOUND_MAX: Final = 5
_POOL: Final = 20
_WORDS_MAX: Final = 6


@dataclass(slots=True)
class ContradictionFinder:
    """Looks while the write is on its way, and gives up when time or room is out.

    `seconds_max` bounds one search, `searches_max` how many run at once: under load writes go
    first, and answers come without advice.
    """

    store: Store
    seconds_max: float = 0.005
    searches_max: int = 2
    _searches: int = field(default=0, init=False)

    def start(self, title: str, chosen: MemoryFilter) -> asyncio.Task[Sequence[str]] | None:
        """A search in the read pool, or None when too many are under way."""
        if self._searches >= self.searches_max:
            return None
        self._searches += 1
        return asyncio.create_task(self._search(title, chosen))

    async def _search(self, title: str, chosen: MemoryFilter) -> Sequence[str]:
        try:
            async with asyncio.timeout(self.seconds_max):
                return await self._found(title, chosen)
        except (TimeoutError, StoreUnavailableError):
            return ()
        finally:
            self._searches -= 1

    async def _found(self, title: str, chosen: MemoryFilter) -> Sequence[str]:
        # Long words are the rare ones, near enough, and cost no look at the index.
        words = sorted(parse_query(title).content_words, key=len, reverse=True)[:_WORDS_MAX]
        hits = await self.store.search_text(" ".join(words), chosen, _POOL, every_term=False)
        titles = await self.store.titles_of([hit.id for hit in hits])
        return [
            hit.id
            for hit in hits
            if hit.id in titles and title_likeness(title, titles[hit.id]) >= _LIKENESS_MIN
        ][:_FOUND_MAX]

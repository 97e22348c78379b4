"""Rows that a new memory may contradict, by title (semantics 5.10): advice beside a write."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain.errors import StoreUnavailableError
from app.domain.text import parse_query, title_likeness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from app.store.protocol import Store
    from app.store.sql.filters import Viewer

_LIKENESS_MIN: Final = 0.30
_FOUND_MAX: Final = 5
_WORDS_MAX: Final = 2


@dataclass(slots=True)
class ContradictionFinder:
    """Looks while the write is on its way, and gives up when time or room is out.

    `seconds_max` bounds one search. With more than `stores_max` stores under way there is none,
    nor for `rest_seconds` after one that took too long, since what it asked for is still worked
    out: under load writes go first, and answers come without advice.
    """

    store: Store
    seconds_max: float = 0.005
    stores_max: int = 4
    rest_seconds: float = 0.25
    _stores: int = field(default=0, init=False)
    _rests_until: float = field(default=0.0, init=False)

    @contextmanager
    def beside(
        self, title: str, viewer: Viewer, namespace: str, now: str
    ) -> Iterator[Callable[[], Awaitable[Sequence[str]]]]:
        """Around one store: gives what to await for the advice once the store is durable."""
        self._stores += 1
        task: asyncio.Task[Sequence[str]] | None = None
        if self._stores <= self.stores_max and _moment() >= self._rests_until:
            task = asyncio.create_task(self._search(title, viewer, namespace, now))

        async def advice() -> Sequence[str]:
            return () if task is None else await task

        try:
            yield advice
        finally:
            self._stores -= 1
            if task is not None:
                task.cancel()

    async def _search(self, title: str, viewer: Viewer, namespace: str, now: str) -> Sequence[str]:
        # Long words are the rare ones, near enough, and cost no look at the index.
        words = sorted(parse_query(title).content_words, key=len, reverse=True)[:_WORDS_MAX]
        try:
            async with asyncio.timeout(self.seconds_max):
                rows = await self.store.titled_like(words, viewer, namespace, now)
        except (TimeoutError, StoreUnavailableError):
            self._rests_until = _moment() + self.rest_seconds
            return ()
        likeness = {row.id: title_likeness(title, row.title) for row in rows}
        close = [one for one, share in likeness.items() if share >= _LIKENESS_MIN]
        return sorted(close, key=lambda one: -likeness[one])[:_FOUND_MAX]


def _moment() -> float:
    return asyncio.get_running_loop().time()

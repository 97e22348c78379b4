"""Advice on like titles beside a write: none while a search that came too late is still felt."""

import asyncio
from pathlib import Path

from app.services.contradictions import ContradictionFinder
from app.store.sql.filters import Viewer
from tests.contract.store.conftest import START, Put, SqliteStores, TurnedClock, memory

NOW = START.isoformat()
ALICE = Viewer("alice")


async def test_a_search_that_came_too_late_is_followed_by_a_rest(tmp_path: Path):
    store = SqliteStores(TurnedClock(), folder=tmp_path, inline=False).open()
    finder = ContradictionFinder(store, seconds_max=30.0, rest_seconds=0.2)

    async def advice() -> list[str]:
        with finder.beside("Deploy window on Monday", ALICE, "global", NOW) as found:
            return list(await found())

    try:
        await store.submit(Put(memory("m1", title="Deploy window on Friday")))
        assert await advice() == ["m1"]
        finder.seconds_max = 0.0
        assert await advice() == []
        finder.seconds_max = 30.0
        assert await advice() == []
        await asyncio.sleep(0.25)
        assert await advice() == ["m1"]
    finally:
        await store.close()

"""Advice on like titles beside a write: none while a search that came too late is still felt."""

import asyncio
from pathlib import Path

from app.services.contradictions import ContradictionFinder
from app.store.sql.filters import Viewer
from tests.contract.store.conftest import START, Put, SqliteStores, TurnedClock, memory

NOW = START.isoformat()
ALICE = Viewer("alice")
REST_SECONDS = 0.2
PATIENCE_SECONDS = 10.0


async def test_a_search_that_came_too_late_is_followed_by_a_rest(tmp_path: Path):
    store = SqliteStores(TurnedClock(), folder=tmp_path, inline=False).open()
    finder = ContradictionFinder(store, seconds_max=30.0, rest_seconds=REST_SECONDS)
    loop = asyncio.get_running_loop()

    async def advice() -> list[str]:
        with finder.beside("Deploy window on Monday", ALICE, "global", NOW) as found:
            return list(await found())

    try:
        await store.submit(Put(memory("m1", title="Deploy window on Friday")))
        assert await advice() == ["m1"]
        finder.seconds_max = 0.0
        began = loop.time()
        assert await advice() == []
        finder.seconds_max = 30.0
        while not (found := await advice()):
            assert loop.time() - began < PATIENCE_SECONDS
            await asyncio.sleep(REST_SECONDS / 20)
        assert found == ["m1"]
        assert loop.time() - began >= REST_SECONDS
    finally:
        await store.close()

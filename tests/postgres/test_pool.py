"""Readers of the second store: bounded, off the event loop, soon aware of a lost server."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import select

from app.domain.errors import StoreClosedError, StoreReadOnlyError, StoreUnavailableError
from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.pool import Readers
from app.store.postgres.url import PostgresUrl
from app.store.tables import memories, recall_observations
from tools.postgres.cluster import Cluster
from tools.postgres.programs import find_programs

PATIENCE_SECONDS = 10.0


def options(text: str, **chosen: float) -> PostgresOptions:
    return PostgresOptions(PostgresUrl.parse(text), **chosen)  # type: ignore[arg-type]


def sleep(connection: psycopg.Connection, seconds: float) -> int:
    connection.execute("SELECT pg_sleep(%s)", [seconds])
    return threading.get_ident()


class Held:
    """Reads that have begun and go on until they are let go."""

    def __init__(self) -> None:
        self._begun = threading.Semaphore(0)
        self._go = threading.Event()

    def read(self, _connection: psycopg.Connection) -> bool:
        self._begun.release()
        return self._go.wait(PATIENCE_SECONDS)

    async def begun(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_SECONDS)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def readers(postgres_database: str) -> Iterator[Readers]:
    with closing(Readers(options(postgres_database))) as opened:
        yield opened


ROW = """
    INSERT INTO memories (id, tier, title, content, tags, metadata, created_at, updated_at)
    VALUES ('m1', 'mid', 'a title', '100 % done', '["x", "y"]', '{"agent_id": "alice"}',
            '2026-06-01T12:00:00Z', '2026-06-01T12:00:00.25Z')
"""


async def test_a_select_gives_rows_as_the_other_store_does(
    readers: Readers, postgres_database: str, ask
) -> None:
    ask(postgres_database, ROW)
    chosen = select(
        memories.c.id,
        memories.c.tags,
        memories.c.updated_at,
        memories.c.priority,
        memories.c.agent_id_idx,
    ).where(
        memories.c.id.in_(["m0", "m1"]),
        memories.c.created_at <= "2026-06-01T12:00:00.000000+00:00",
        memories.c.content.like("%100 \\%%"),
        memories.c.priority > 4,
    )
    expected = {
        "id": "m1",
        "tags": '["x","y"]',
        "updated_at": "2026-06-01T12:00:00.250000+00:00",
        "priority": 5,
        "agent_id_idx": "alice",
    }
    assert list(await readers.select(chosen)) == [expected]
    assert list(await readers.select(chosen)) == [expected]  # compiled before
    assert list(await readers.select(select(recall_observations.c.consumed))) == []


async def test_reads_run_beside_one_another_and_off_the_event_loop(readers: Readers) -> None:
    begun = time.monotonic()
    threads = await asyncio.gather(*(readers.run(lambda c: sleep(c, 0.5)) for _ in range(6)))
    assert time.monotonic() - begun < 2.5
    assert len(set(threads)) == 6
    assert threading.get_ident() not in threads


async def test_a_function_sees_one_snapshot_and_cannot_write(
    readers: Readers, postgres_database: str, ask
) -> None:
    def twice(connection: psycopg.Connection) -> tuple[object, object]:
        counted = "SELECT count(*) FROM memories"
        before = connection.execute(counted.encode()).fetchone()
        ask(postgres_database, ROW)
        return before, connection.execute(counted.encode()).fetchone()

    assert await readers.run(twice) == ((0,), (0,))
    with pytest.raises(StoreReadOnlyError):
        await readers.run(lambda connection: connection.execute("DELETE FROM memories"))
    assert ask(postgres_database, "SELECT count(*) FROM memories") == [(1,)]


async def test_there_are_never_more_connections_than_set(postgres_database: str, ask) -> None:
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ai-memory'"
    chosen = options(postgres_database, most=4, least=2)
    with closing(Readers(chosen)) as readers, closing(connect(chosen)):
        held = Held()
        work = [asyncio.create_task(readers.run(held.read)) for _ in range(10)]
        await held.begun(3)
        database = f" AND datname = '{chosen.url.database}'"
        assert ask(postgres_database, counted + database) == [(4,)]
        assert readers.open_connections == 3
        held.let_go()
        assert all(await asyncio.gather(*work))


async def test_who_waits_too_long_for_a_connection_is_told(postgres_database: str) -> None:
    chosen = options(postgres_database, most=2, acquire_seconds=0.5)
    with closing(Readers(chosen)) as readers:
        held = Held()
        slow = asyncio.create_task(readers.run(held.read))
        await held.begun(1)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="all 2 connections were busy") as refused:
            await readers.run(lambda c: sleep(c, 0))
        assert 0.4 < time.monotonic() - begun < 1.5
        assert refused.value.details["retry_after_seconds"] == 5
        held.let_go()
        assert await slow
        assert await readers.run(lambda c: sleep(c, 0))


async def test_a_reader_that_is_cancelled_is_cancelled(readers: Readers) -> None:
    held = Held()
    task = asyncio.create_task(readers.run(held.read))
    await held.begun(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.let_go()


async def test_a_statement_is_cut_off_at_its_limit(postgres_database: str) -> None:
    with (
        closing(Readers(options(postgres_database, statement_seconds=0.2))) as readers,
        pytest.raises(StoreUnavailableError, match="took longer"),
    ):
        await readers.run(lambda c: sleep(c, 5))


async def test_closed_is_closed(postgres_database: str) -> None:
    readers = Readers(options(postgres_database))
    readers.close()
    with pytest.raises(StoreClosedError):
        await readers.run(lambda c: sleep(c, 0))


async def test_in_place_there_is_no_other_thread(postgres_database: str) -> None:
    with closing(Readers(options(postgres_database), inline=True)) as readers:
        assert await readers.run(lambda c: sleep(c, 0)) == threading.get_ident()
        assert readers.run_here(lambda c: sleep(c, 0)) == threading.get_ident()


async def test_connections_that_were_cut_are_replaced_without_anybody_noticing(
    readers: Readers, postgres_database: str, ask
) -> None:
    await asyncio.gather(*(readers.run(lambda c: sleep(c, 0.2)) for _ in range(4)))
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'ai-memory' AND datname = current_database()"
    )
    assert ask(postgres_database, cut)[0][0] >= 4
    found = await asyncio.gather(*(readers.run(lambda c: sleep(c, 0)) for _ in range(8)))
    assert len(found) == 8


async def test_a_server_that_goes_is_said_soon_and_one_that_comes_back_is_used() -> None:
    cluster = Cluster.create(find_programs(lambda _: None))
    try:
        cluster.start()
        with closing(Readers(options(cluster.url()))) as readers:
            await readers.run(lambda c: sleep(c, 0))
            cluster.halt()
            begun = time.monotonic()
            said = ""
            while "no server listens there" not in said:
                with pytest.raises(StoreUnavailableError) as refused:
                    await readers.run(lambda c: sleep(c, 0))
                said = refused.value.message
                assert time.monotonic() - begun < 10  # not the half minute of a busy pool
            # Whoever asks while it is away is told at once, so that nobody queues up.
            asked = time.monotonic()
            told = await asyncio.gather(
                *(readers.run(lambda c: sleep(c, 0)) for _ in range(100)), return_exceptions=True
            )
            assert all(isinstance(one, StoreUnavailableError) for one in told)
            assert time.monotonic() - asked < 3
            await asyncio.sleep(3)  # long enough for the pool to have given up

            cluster.start()
            begun = time.monotonic()
            while True:
                try:
                    await readers.run(lambda c: sleep(c, 0))
                    break
                except StoreUnavailableError:
                    assert time.monotonic() - begun < 5
                    await asyncio.sleep(0.1)
    finally:
        cluster.stop()


@pytest.mark.parametrize("pooled", [False, True])
def test_behind_a_pooler_nothing_is_prepared(postgres_database: str, pooled: bool) -> None:
    chosen = PostgresOptions(PostgresUrl.parse(postgres_database), pooled=pooled)
    with closing(connect(chosen)) as opened:
        for _ in range(10):
            with transaction(opened, Preamble.reading(chosen)):
                opened.execute("SELECT count(*) FROM memories WHERE id = %s", ["m1"])
        prepared = opened.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == ((0,) if pooled else (1,))

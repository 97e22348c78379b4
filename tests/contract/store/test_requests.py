"""What a store promises about requests that may come twice."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.domain.errors import ConflictError, IdempotencyKeyTakenError
from app.domain.memory import Memory
from app.store.protocol import Receipt
from app.store.sql.records import IdempotencyRow
from app.store.writing.written import IdempotencyKey, Written, noting
from tests.contract.store.conftest import (
    Change,
    Put,
    Stores,
    TestedStore,
    TurnedClock,
    memory,
)
from tests.contract.store.test_writing import titles

SOON = "2026-06-02T12:00:00.000000+00:00"


@contextmanager
def request(key: str = "k1", actor: str = "alice", expires_at: str = SOON) -> Iterator[Written]:
    with noting(Written(IdempotencyKey(key, actor, b"fingerprint", expires_at))) as written:
        yield written


async def test_a_requests_key_is_bound_to_what_it_wrote(stores: Stores):
    store = stores.open()
    with request():
        await store.submit(Put(memory("m1")))
        await store.submit(Put(memory("m2")))
    origin = store.identity.origin
    await stores.close(store)
    store = stores.open()
    assert await store.idempotency_row("k1", "alice") == IdempotencyRow(
        "k1", "alice", b"fingerprint", None, None, origin, 1, "m1", SOON
    )
    assert await store.idempotency_row("k1", "bob") is None


async def test_the_same_request_again_is_refused_and_writes_nothing(store: TestedStore):
    with request():
        await store.submit(Put(memory("m1")))
    with request(), pytest.raises(IdempotencyKeyTakenError):
        await store.submit(Put(memory("m2")))
    with request(actor="bob"):
        await store.submit(Put(memory("m3")))
    assert set(await titles(store)) == {"m1", "m3"}
    assert (await store.clock())[store.identity.origin] == 2


async def test_of_many_that_come_at_once_one_writes(store: TestedStore):
    async def ask(number: int) -> Receipt[Memory] | Exception:
        with request() as written:
            try:
                return await store.submit(Put(memory(f"m{number}")))
            except ConflictError as error:
                assert written.runs == []
                return error

    answers = await asyncio.gather(*(ask(number) for number in range(8)))
    assert sum(isinstance(one, Receipt) for one in answers) == 1
    assert len(await titles(store)) == 1


async def test_a_request_that_failed_or_wrote_nothing_leaves_its_key(store: TestedStore):
    with request(), pytest.raises(ConflictError):
        await store.submit(Put(memory("m1"), error=ConflictError("taken")))
    await store.submit(Put(memory("m1")))
    with request():
        await store.submit(Change("m1", {"title": "title of m1"}))
    assert await store.idempotency_row("k1", "alice") is None
    with request():
        answers = await store.submit_all(
            [Put(memory("m2"), error=ConflictError("taken")), Put(memory("m3"))]
        )
    assert isinstance(answers[1], Receipt)
    row = await store.idempotency_row("k1", "alice")
    assert row is not None
    assert row.entity_id == "m3"


async def test_a_request_of_many_commands_takes_its_key_once(store: TestedStore):
    with request() as written:
        await store.submit_all([Put(memory(f"m{number}")) for number in range(5)])
    assert len(written.runs) == 5
    with request():
        answers = await store.submit_all([Put(memory(f"n{number}")) for number in range(5)])
    assert all(isinstance(one, IdempotencyKeyTakenError) for one in answers)


async def test_a_key_is_free_again_when_it_has_expired(store: TestedStore, clock: TurnedClock):
    with request():
        await store.submit(Put(memory("m1")))
    assert await store.expired_keys(clock.text(), 9) == []
    clock.turn(days=2)
    assert await store.expired_keys(clock.text(), 9) == [("k1", "alice")]
    with request(expires_at="2026-07-01T00:00:00.000000+00:00"):
        await store.submit(Put(memory("m2")))
    row = await store.idempotency_row("k1", "alice")
    assert row is not None
    assert (row.entity_id, row.seq) == ("m2", 2)
    assert await store.expired_keys(clock.text(), 9) == []

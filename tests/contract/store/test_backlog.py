"""What a store promises about texts that wait for a vector."""

import numpy as np

from app.domain.text import content_hash
from app.log import drafts
from app.recall.embedding.protocol import Embedded
from app.services.commands.embeddings import RecordVector
from app.store.protocol import Unembedded
from tests.contract.store.conftest import (
    DIM,
    MODEL,
    Change,
    Put,
    Stores,
    TestedStore,
    memory,
)
from tests.contract.store.test_foreign import peer_chain, pull, stored
from tests.contract.store.test_log import PEER, chain


async def embed(store: TestedStore, waiting: Unembedded) -> bool:
    """What the embedding worker does with a text."""
    vector = np.ones(DIM, dtype=np.float16)
    made = Embedded(waiting.memory_id, waiting.content_hash, vector)
    return (await store.submit(RecordVector(made, MODEL))).result


async def test_a_waiting_text_says_who_wrote_it(stores: Stores):
    left, right = stores.open("left"), stores.open("right")
    await left.submit_all([Put(memory("m1")), Put(memory("m2"))])
    await pull(left, right)
    await right.submit(Change("m1", {"content": "other words"}))
    await right.submit(Change("m2", {"tags": ("new",)}))
    found = {one.memory_id: one for one in await right.unembedded(MODEL, 9)}
    assert found["m1"].origin == right.identity.origin
    assert found["m1"].text == "title of m1 other words"
    assert found["m1"].content_hash == content_hash("title of m1", "other words")
    assert found["m2"].origin == left.identity.origin


async def test_a_node_finds_its_own_texts_behind_any_number_of_others(stores: Stores):
    store = stores.open()
    await store.append_foreign(chain(*(stored(f"p{number:04}") for number in range(700))))
    await store.submit_all([Put(memory(f"z{number}")) for number in range(3)])
    own = store.identity.origin
    for _ in ("noted when written", "read at the start"):
        found = await store.unembedded(MODEL, 2, lambda _, origin: origin == own)
        assert [one.memory_id for one in found] == ["z0", "z1"]
        even = await store.unembedded(
            MODEL, 5, lambda one, origin: origin == PEER and int(one[1:]) % 100 == 99
        )
        assert [one.memory_id for one in even] == [
            f"p{number:04}" for number in range(99, 599, 100)
        ]
        assert await store.unembedded(MODEL, 5, lambda _one, _origin: False) == []
        assert len(await store.unembedded(MODEL, 1_000)) == 703
        await stores.close(store)
        store = stores.open()


async def test_the_loser_of_a_name_gets_its_vector_once(store: TestedStore):
    await store.submit(Put(memory("m1", title="wanted")))
    await store.append_foreign(peer_chain(drafts.store(memory("p1", title="wanted"), "bob")))
    shown = [await store.snapshot(one) for one in ("m1", "p1")]
    assert all(one is not None for one in shown)
    waiting = await store.unembedded(MODEL, 9)
    assert {one.text for one in waiting} == {"wanted content of m1", "wanted content of p1"}
    for one in waiting:
        assert await embed(store, one)
    assert not await store.unembedded(MODEL, 9)
    assert {one.memory_id for one in await store.vectors_of(["m1", "p1"])} == {"m1", "p1"}
    # Losing or winning a name changes what shows, and not what the text means.
    await store.submit(Change("m1", {"title": "given up"}))
    assert [one.memory_id for one in await store.unembedded(MODEL, 9)] == ["m1"]


async def test_a_vector_of_a_text_that_changed_meanwhile_is_not_recorded(store: TestedStore):
    await store.submit(Put(memory("m1")))
    (waiting,) = await store.unembedded(MODEL, 9)
    await store.submit(Change("m1", {"content": "other words"}))
    before = await store.clock()
    assert not await embed(store, waiting)
    assert await store.clock() == before
    (waiting,) = await store.unembedded(MODEL, 9)
    assert await embed(store, waiting)

"""A recall's two reads answer what the single reads would, whatever changed in between."""

import asyncio
from collections.abc import Sequence
from random import Random

import numpy as np

from app.domain.ranking import Candidate, Ranked, Scoring, rank
from app.domain.recalled import Chosen
from app.domain.text import content_hash
from app.domain.timestamps import format_instant
from app.recall.embedding.protocol import Embedded
from app.services.commands.embeddings import RecordVector
from app.store.protocol import Store
from app.store.sql.filters import MemoryFilter, Viewer
from tests.contract.store.conftest import (
    DIM,
    MODEL,
    START,
    Put,
    archive,
    delete,
    memory,
    restore,
)

NOW = format_instant(START)
EVERYTHING = MemoryFilter(now=NOW)
WORDS = ("file", "socket", "vector", "token", "index", "thread", "table", "digest")
QUESTION = "which file holds the vector index"


def vector_of(number: int) -> np.ndarray:
    made = np.random.default_rng(number).standard_normal(DIM)
    return (made / np.linalg.norm(made)).astype(np.float16)


async def filled(store: Store, count: int = 60) -> list[str]:
    chance = Random(5)
    ids = []
    for number in range(count):
        row = memory(
            f"m{number:03}",
            title=f"{chance.choice(WORDS)} {number}",
            content=" ".join(chance.choices(WORDS, k=4)),
            namespace=f"n{number % 2}",
            priority=number % 10 + 1,
        )
        await store.submit(Put(row))
        if number % 5:
            await embed(store, row.id, row.title, row.content, number)
        ids.append(row.id)
    await followed(store, count - len(range(0, count, 5)))
    return ids


async def embed(store: Store, memory_id: str, title: str, content: str, number: int) -> None:
    made = Embedded(memory_id, content_hash(title, content), vector_of(number))
    await store.submit(RecordVector(made, MODEL))


async def followed(store: Store, vectors: int) -> None:
    """The index follows commits in a thread of its own."""
    async with asyncio.timeout(10):
        while (await store.status()).vectors < vectors:  # noqa: ASYNC110 - it announces nothing
            await asyncio.sleep(0.01)


async def finds(store: Store, memory_id: str, number: int) -> bool:
    """Whether a search knows this vector of the memory's."""
    hits = await store.search_vector(vector_of(number).tolist(), EVERYTHING, 3)
    return any(hit.id == memory_id and hit.score > 0.99 for hit in hits)


def best(candidates: Sequence[Candidate]) -> Sequence[Ranked]:
    return rank(candidates, Scoring(), START, hybrid=True, limit=10)


async def both_ways(store: Store, chosen: MemoryFilter) -> tuple[Chosen, Chosen]:
    vector = vector_of(1_000).astype(np.float32).tolist()
    words = await store.recall_words(QUESTION, chosen, 30, covers=True)
    here = await store.recall_best(words, vector, chosen, 20, best)
    words = await Store.recall_words(store, QUESTION, chosen, 30, covers=True)
    plain = await Store.recall_best(store, words, vector, chosen, 20, best)
    return here, plain


async def assert_alike(store: Store, chosen: MemoryFilter = EVERYTHING) -> Chosen:
    here, plain = await both_ways(store, chosen)
    assert list(here.memories) == list(plain.memories)
    assert [one.id for one in here.ranked] == [one.id for one in plain.ranked]
    np.testing.assert_allclose(
        [one.score for one in here.ranked], [one.score for one in plain.ranked], atol=1e-6
    )
    assert (here.found, here.near) == (plain.found, plain.near)
    return here


async def test_both_ways_answer_alike_within_every_filter(store: Store):
    await filled(store)
    assert (await assert_alike(store)).memories
    await assert_alike(store, MemoryFilter(now=NOW, namespaces=("n1",)))
    await assert_alike(store, MemoryFilter(now=NOW, min_priority=9))
    nobody = MemoryFilter(now=NOW, viewer=Viewer("bob"))
    assert not (await assert_alike(store, nobody)).memories


async def test_a_row_that_left_and_one_in_its_place_are_seen_as_they_are(store: Store):
    ids = await filled(store)
    first = (await assert_alike(store)).ranked[0].id
    await store.submit(delete(first))
    assert first not in {one.id for one in (await assert_alike(store)).ranked}
    # The last row's number is free again, and the next row takes it.
    await store.submit(delete(ids[-1]))
    await store.submit(Put(memory("new", title="vector index", content="which file holds")))
    assert "new" in {one.id for one in (await assert_alike(store)).ranked}


async def test_an_archived_row_comes_back_with_its_vector(store: Store):
    await filled(store)
    first = (await assert_alike(store)).ranked[0].id
    await store.submit(archive(first))
    assert first not in {one.id for one in (await assert_alike(store)).ranked}
    await store.submit(restore(first))
    assert first in {one.id for one in (await assert_alike(store)).ranked}


async def test_a_new_vector_takes_the_place_of_the_old_one(store: Store):
    await filled(store)
    far = next(one for one in (await assert_alike(store)).ranked if one.cosine is not None)
    (row,) = await store.get_many([far.id], EVERYTHING)
    await embed(store, row.id, row.title, row.content, 1_000)
    # The index follows in its own time, and the two ways look at it one after the other.
    async with asyncio.timeout(10):
        while not await finds(store, row.id, 1_000):  # noqa: ASYNC110 - it announces nothing
            await asyncio.sleep(0.01)
    found = await assert_alike(store)
    near = {one.id: one.cosine for one in found.ranked}[row.id]
    assert near is not None
    assert near > 0.99

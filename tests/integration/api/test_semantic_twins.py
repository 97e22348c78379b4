"""`near_duplicate = "sync"`: a text that says the same in other words is refused."""

import asyncio
import hashlib

import numpy as np
import pytest

from app.domain.errors import BackendError, ConflictError
from app.log import drafts
from app.services.attestation import Attestation
from app.services.caller import Caller
from app.services.contradictions import ContradictionFinder
from app.services.memories import MemoryRules, MemoryService
from app.services.new_memory import NewMemory
from app.services.semantic_twins import SemanticTwins
from app.store.protocol import Decided, Needs
from app.store.schema import migrate
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from tests.integration.api.conftest import RandomIds, RealDiskSync, SystemRandomness

ALICE = Caller("alice")
MODEL, DIM = "by-first-word", 64


class ByFirstWord:
    """Texts whose contents start with the same word mean the same."""

    is_down = False

    async def embed_query(self, text):
        if self.is_down:
            raise BackendError("down")
        word = text.split()[1]
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        vector = np.random.default_rng(seed).standard_normal(DIM)
        return (vector / np.linalg.norm(vector)).astype(np.float16).astype(np.float32)


class Embed:
    """Record a vector, as the backlog's worker does."""

    needs = Needs()

    def __init__(self, memory, vector):
        self._memory, self._vector = memory, vector

    def decide(self, view):
        text = f"{self._memory.title}\x00{self._memory.content}"
        digest = hashlib.sha256(text.encode()).digest()
        half = self._vector.astype("<f2").tobytes()
        draft = drafts.embedding(self._memory.id, digest, MODEL, DIM, half, "system")
        return Decided(lambda _: None, (draft,))


@pytest.fixture
async def vector_store(tmp_path, clock):
    path = tmp_path / "vectors.db"
    migrate(path, lambda _: None)
    sources = Sources(clock, SystemRandomness(), RealDiskSync())
    options = SqliteOptions(FileOptions(path), model=MODEL, dim=DIM)
    opened = SqliteStore.open(options, sources)
    yield opened
    await opened.close()


@pytest.fixture
def embedder():
    return ByFirstWord()


@pytest.fixture
def memories(vector_store, clock, services, embedder):
    return MemoryService(
        vector_store,
        clock,
        RandomIds(),
        MemoryRules(),
        Attestation(vector_store),
        ContradictionFinder(vector_store),
        services.metrics,
        SemanticTwins(vector_store, embedder),
    )


async def stored(memories, title, content, **asked):
    accepted = memories.check(NewMemory(title, content, **asked))
    return (await memories.store(accepted, ALICE)).memory


async def test_a_neighbour_with_other_words_is_refused_unless_forced(
    memories, vector_store, embedder
):
    first = await stored(memories, "one", "deploys happen on friday")
    vector = await embedder.embed_query(f"{first.title} {first.content}")
    await vector_store.submit(Embed(first, vector))
    async with asyncio.timeout(10):  # the index follows commits in a thread of its own
        chosen = MemoryFilter(now=first.updated_at)
        while not await vector_store.search_vector(vector, chosen, 1):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)

    with pytest.raises(ConflictError) as refused:
        await stored(memories, "two", "deploys are on fridays")
    assert refused.value.details["existing_id"] == first.id
    assert refused.value.details["similarity"] == pytest.approx(1.0, abs=0.01)
    await stored(memories, "three", "lunch is at noon")
    await stored(memories, "four", "deploys happen on friday")
    await stored(memories, "five", "deploys are forced", force=True)
    await stored(memories, "six", "deploys elsewhere", namespace="other")
    merged = await stored(memories, "one", "deploys happen on monday", on_conflict="merge")
    assert merged.id == first.id


async def test_a_store_goes_on_when_the_embedder_does_not(memories, embedder):
    embedder.is_down = True

    assert (await stored(memories, "one", "deploys happen")).title == "one"

"""`POST /reembed` over a real store with vectors; the embedder is a stand-in for a vendor's."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from app.api.options import ApiOptions
from app.domain.text import content_hash
from app.recall.embedding.protocol import (
    Embedded,
    EmbeddingError,
    EmbeddingRefusedError,
    unit_vector,
)
from app.services.reembed import ReembedService, StoreBacklog
from app.store.schema import migrate
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from tests.integration.api.conftest import RealDiskSync, SystemRandomness

QUERY = unit_vector(np.array([1.0, 0.0, 0.0, 0.0]), 4).tolist()


class Vendor:
    """Answers one direction for everything; `direction` turns as the test says."""

    fingerprint = "vendor/toy@1:4"
    dim = 4

    def __init__(self) -> None:
        self.direction = 0
        self.fails_on = ""

    def embed_query(self, text):
        return self.embed_document(text)

    def embed_document(self, text):
        if self.fails_on and self.fails_on in text:
            raise EmbeddingError("the vendor is down")
        if "unspeakable" in text:
            raise EmbeddingRefusedError("no such text", is_about_text=True)
        return unit_vector(np.eye(4)[self.direction], 4)

    def close(self) -> None:
        pass


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
async def store(tmp_path, clock, vendor):
    path = tmp_path / "vectors.db"
    migrate(path, lambda _: None)
    options = SqliteOptions(FileOptions(path), model=vendor.fingerprint, dim=vendor.dim)
    opened = SqliteStore.open(options, Sources(clock, SystemRandomness(), RealDiskSync()))
    yield opened
    await opened.close()


@pytest.fixture
async def services(services, store, clock, vendor):
    with ThreadPoolExecutor(1) as threads:
        yield replace(services, reembed=ReembedService(store, clock, vendor, "toy", threads))


async def stored(api, title, namespace="n"):
    body = {"title": title, "content": f"{title} text", "namespace": namespace}
    return (await api.post("/api/v1/memories", json=body)).json()["id"]


async def reembed(api, **body):
    reply = await api.post("/api/v1/reembed", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def cosines(store, ids):
    rows = await store.weighed(ids, QUERY, None)
    return {row.id: row.cosine for row in rows if row.cosine is not None}


async def eventually(look, expected):
    """The index and the backlog follow a commit at once, but behind its answer."""
    found = None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = await look()
        if found == expected:
            break
        await asyncio.sleep(0.01)
    assert found == expected


async def test_a_run_in_steps_replaces_every_vector(api, store, vendor):
    ids = [await stored(api, f"m{number}") for number in range(5)]
    await reembed(api, limit=100)
    await eventually(lambda: cosines(store, ids), dict.fromkeys(ids, pytest.approx(1.0)))
    vendor.direction = 1

    steps, cursor = [], None
    for _ in range(10):
        steps.append(await reembed(api, limit=2, cursor=cursor))
        cursor = steps[-1]["next_cursor"]
        if cursor is None:
            break

    assert [step["reembedded"] for step in steps] == [2, 2, 1]
    assert steps[0].keys() == {"reembedded", "skipped", "model", "dim", "next_cursor"}
    assert (steps[0]["model"], steps[0]["dim"]) == (vendor.fingerprint, 4)
    await eventually(lambda: cosines(store, ids), dict.fromkeys(ids, pytest.approx(0.0)))


async def test_a_dry_run_counts_and_changes_nothing(api, store):
    first = await stored(api, "here", "a")
    await stored(api, "there", "b")
    await reembed(api, namespace="a")

    plan = await reembed(api, dry_run=True)

    assert plan == {
        "dry_run": True,
        "total_rows": 2,
        "rows_with_embeddings": 1,
        "rows_missing_embeddings": 1,
        "target_model": "vendor/toy@1:4",
        "target_dim": 4,
        "backend": "toy",
    }
    assert (await reembed(api, dry_run=True, namespace="b"))["total_rows"] == 1
    await eventually(lambda: cosines(store, [first]), {first: pytest.approx(1.0)})


async def test_a_text_that_the_vendor_refuses_is_skipped(api):
    await stored(api, "plain")
    await stored(api, "unspeakable")

    step = await reembed(api)

    assert (step["reembedded"], step["skipped"], step["next_cursor"]) == (1, 1, None)


async def test_what_was_made_before_a_failure_is_kept(api, store, vendor):
    ids = [await stored(api, title) for title in ("one", "two", "three")]
    vendor.fails_on = "three"

    reply = await api.post("/api/v1/reembed", json={})

    assert reply.status_code == 502
    assert reply.json()["error"] == "the vendor is down"
    await eventually(lambda: cosines(store, ids), dict.fromkeys(ids[:2], pytest.approx(1.0)))


async def test_it_is_for_admins_and_needs_an_embedder(make_api, services, api):
    stranger = await make_api(ApiOptions())
    assert (await stranger.post("/api/v1/reembed", json={})).status_code == 403
    assert (await api.post("/api/v1/reembed", json={"limit": 0})).status_code == 400


class TestWithoutAnEmbedder:
    @pytest.fixture
    async def services(self, services):
        return replace(services, reembed=None)

    async def test_the_answer_is_503(self, api):
        reply = await api.post("/api/v1/reembed", json={})

        assert reply.status_code == 503
        assert reply.json()["error"] == "embedder not configured"


async def test_the_backlog_is_what_lacks_a_vector_and_shrinks_when_one_is_recorded(
    api, store, clock, vendor
):
    ids = [await stored(api, title) for title in ("older", "newer")]
    backlog = StoreBacklog(store, vendor.fingerprint, clock)

    async def waiting():
        return [one.memory_id for one in await backlog.pending(10)]

    await eventually(waiting, ids)
    (first, _) = await backlog.pending(10)
    vector = vendor.embed_document("").astype(np.float16)

    await backlog.record([Embedded(ids[0], first.content_hash, vector)])
    await backlog.record([Embedded(ids[1], content_hash("newer", "stale text"), vector)])

    await eventually(waiting, ids[1:])
    assert await backlog.pending_count() == 1

"""`/kg`, `/find_paths` and `/check_duplicate` over HTTP."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.domain.text import content_hash
from app.log import drafts
from app.services.touches import Extensions, Touches
from app.store.protocol import Decided, Needs, Store, View
from app.store.schema import migrate
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from tests.integration.api.conftest import (
    Api,
    ApiFactory,
    MovableClock,
    RealDiskSync,
    SystemRandomness,
    make_services,
    open_api,
)
from tests.integration.api.test_links import ALICE, BOB, link, stored


async def graph(api: Api, edges: str, agent=None, **fields) -> dict[str, str]:
    """Memories named by letters, linked as in `"ab bc"`; their ids by letter."""
    names = sorted(set(edges.replace(" ", "")))
    ids = {name: await stored(api, name, agent, **fields) for name in names}
    for edge in edges.split():
        made = await link(api, ids[edge[0]], ids[edge[1]], agent=agent)
        assert made.status_code == 201
    return ids


async def walk(api: Api, agent=None, **body):
    return await api.post("/api/v1/kg/query", json=body, headers=agent or {})


async def paths(api: Api, agent=None, **body):
    return await api.post("/api/v1/kg/find_paths", json=body, headers=agent or {})


def titles(answer) -> list[str]:
    return [row["title"] for row in answer.json()["memories"]]


def in_letters(answer, ids: dict[str, str]) -> list[str]:
    letters = {memory_id: letter for letter, memory_id in ids.items()}
    return ["".join(letters[one] for one in path) for path in answer.json()["paths"]]


MODEL = "four-numbers"


def later(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


# -- walks ---------------------------------------------------------------------------------


async def test_a_walk_follows_outbound_links_to_its_depth(api: Api):
    ids = await graph(api, "ab bc cd ea")

    one = await walk(api, source_id=ids["a"])
    three = await walk(api, source_id=ids["a"], max_depth=3)

    assert titles(one) == ["b"]
    assert titles(three) == ["b", "c", "d"]
    body = three.json()
    assert (body["source_id"], body["max_depth"], body["count"]) == (ids["a"], 3, 3)
    assert body["memories"][1] == {
        "target_id": ids["c"],
        "relation": "related_to",
        "valid_from": body["memories"][1]["valid_from"],
        "valid_until": None,
        "observed_by": "local",
        "title": "c",
        "target_namespace": "global",
        "depth": 2,
        "path": f"{ids['a']}->{ids['b']}->{ids['c']}",
    }
    assert body["paths"] == [row["path"] for row in body["memories"]]


async def test_a_walk_never_goes_in_circles(api: Api):
    ids = await graph(api, "ab bc ca cd")

    answer = await walk(api, source_id=ids["a"], max_depth=5)

    assert titles(answer) == ["b", "c", "d"]


async def test_a_walk_shows_every_way_to_a_memory(api: Api):
    ids = await graph(api, "ab ac bd cd")

    answer = await walk(api, source_id=ids["a"], max_depth=2)

    assert titles(answer) == ["b", "c", "d", "d"]
    assert len(set(answer.json()["paths"])) == 4


async def test_the_start_of_a_walk_may_be_called_from(api: Api):
    ids = await graph(api, "ab")

    answer = await api.post("/api/v1/kg/query", json={"from": ids["a"]})

    assert titles(answer) == ["b"]


@pytest.mark.parametrize("depth", [0, 6, -1, 10**30])
async def test_a_depth_outside_1_to_5_is_422_and_names_the_field(api: Api, depth: int):
    answer = await walk(api, source_id="a", max_depth=depth)

    assert answer.status_code == 422
    assert "max_depth" in answer.json()["error"]


async def test_a_walk_leads_neither_to_nor_through_hidden_memories(api: Api):
    ids = await graph(api, "ab bc", ALICE, scope="collective")
    await api.put(
        f"/api/v1/memories/{ids['b']}", json={"metadata": {"scope": "private"}}, headers=ALICE
    )

    assert titles(await walk(api, ALICE, source_id=ids["a"], max_depth=2)) == ["b", "c"]
    assert titles(await walk(api, BOB, source_id=ids["a"], max_depth=2)) == []
    assert titles(await walk(api, BOB, source_id=ids["b"], max_depth=2)) == []


async def test_hidden_memories_take_no_place_in_a_page(api: Api):
    ids = await graph(api, "ab ac ad", ALICE, scope="collective")
    for hidden in ("b", "c"):
        await api.delete(f"/api/v1/memories/{ids[hidden]}", headers=ALICE)

    assert titles(await walk(api, BOB, source_id=ids["a"], limit=1)) == ["d"]


async def test_a_limit_keeps_the_nearest(api: Api):
    ids = await graph(api, "ab ac bd ce")

    assert titles(await walk(api, source_id=ids["a"], max_depth=2, limit=3)) == ["b", "c", "d"]


async def test_ended_links_are_left_out_unless_asked_for(api: Api):
    ids = await graph(api, "ab bc")
    ended = {"source_id": ids["a"], "target_id": ids["b"], "relation": "related_to"}
    await api.post("/api/v1/kg/invalidate", json=ended)

    assert titles(await walk(api, source_id=ids["a"], max_depth=2)) == []
    kept = await walk(api, source_id=ids["a"], max_depth=2, include_invalidated=True)
    assert titles(kept) == ["b", "c"]


async def test_a_walk_at_a_time_takes_links_that_were_valid_then(api: Api):
    before = later(seconds=-60)
    ids = await graph(api, "ab ac")
    ended = {"source_id": ids["a"], "target_id": ids["b"], "relation": "related_to"}
    await api.post("/api/v1/kg/invalidate", json={**ended, "valid_until": later(hours=1)})

    assert titles(await walk(api, source_id=ids["a"], valid_at=before)) == []
    assert titles(await walk(api, source_id=ids["a"], valid_at=later(minutes=1))) == ["b", "c"]
    assert titles(await walk(api, source_id=ids["a"], valid_at=later(hours=2))) == ["c"]
    assert (await walk(api, source_id=ids["a"], valid_at="soon")).status_code == 400


async def test_observers_relations_and_the_end_narrow_a_walk(api: Api):
    ids = await graph(api, "ab bc ad dc", ALICE)
    await link(api, ids["a"], ids["c"], "supersedes", agent=ALICE)
    start = {"source_id": ids["a"], "max_depth": 2}

    assert titles(await walk(api, ALICE, **start, allowed_agents=[])) == []
    assert titles(await walk(api, ALICE, **start, allowed_agents=["ai:bob"])) == []
    assert len(titles(await walk(api, ALICE, **start, allowed_agents=["ai:alice"]))) == 5
    assert titles(await walk(api, ALICE, **start, rel_types=["supersedes"])) == ["c"]
    assert titles(await walk(api, ALICE, **start, to=ids["c"])) == ["c", "c", "c"]
    assert (await walk(api, ALICE, **start, rel_types=["likes"])).status_code == 400


async def test_an_unknown_start_leads_nowhere(api: Api):
    answer = await walk(api, source_id="nobody")

    assert (answer.status_code, answer.json()["count"]) == (200, 0)


# -- timeline ------------------------------------------------------------------------------


async def timeline(api: Api, agent=None, **query):
    return await api.get("/api/v1/kg/timeline", params=query, headers=agent or {})


async def test_a_timeline_shows_facts_by_the_beginning_of_their_validity(api: Api, clock):
    ids = await graph(api, "ab")
    clock.advance(hours=1)
    ids |= {"c": await stored(api, "c")}
    await link(api, ids["a"], ids["c"], "supersedes")

    answer = await timeline(api, source_id=ids["a"])

    body = answer.json()
    assert (body["source_id"], body["count"]) == (ids["a"], 2)
    assert [event["title"] for event in body["events"]] == ["b", "c"]
    first = body["events"][0]
    assert set(first) == {
        "target_id",
        "relation",
        "valid_from",
        "valid_until",
        "observed_by",
        "title",
        "target_namespace",
    }
    cut = later(minutes=30)
    since = (await timeline(api, source_id=ids["a"], since=cut)).json()
    until = (await timeline(api, source_id=ids["a"], until=cut)).json()
    assert [event["title"] for event in since["events"]] == ["c"]
    assert [event["title"] for event in until["events"]] == ["b"]
    assert (await timeline(api, source_id=ids["a"], since="yesterday")).status_code == 400
    assert (await timeline(api, source_id=ids["a"], limit=1)).json()["count"] == 1


async def test_a_timeline_is_its_owners(api: Api):
    hers = await stored(api, "hers", ALICE, scope="collective")
    secret = await stored(api, "secret", ALICE)

    refused = await timeline(api, BOB, source_id=hers)
    missing = await timeline(api, BOB, source_id=secret)

    assert refused.status_code == 403
    assert refused.json()["error"] == "caller does not own this source memory"
    assert missing.status_code == 404
    assert (missing.json()["found"], missing.json()["source_id"]) == (False, secret)


# -- invalidation --------------------------------------------------------------------------


async def invalidate(api: Api, agent=None, **body):
    return await api.post("/api/v1/kg/invalidate", json=body, headers=agent or {})


async def test_an_end_of_validity_is_kept_and_can_be_moved(api: Api):
    ids = await graph(api, "ab")
    fact = {"source_id": ids["a"], "target_id": ids["b"], "relation": "related_to"}

    now = await invalidate(api, **fact)
    moved = await invalidate(api, **fact, valid_until="2030-01-01T00:00:00Z")

    assert now.status_code == 200
    assert now.json() == {
        "found": True,
        **fact,
        "valid_until": now.json()["valid_until"],
        "previous_valid_until": None,
    }
    assert moved.json()["valid_until"] == "2030-01-01T00:00:00.000000+00:00"
    assert moved.json()["previous_valid_until"] == now.json()["valid_until"]
    [event] = (await timeline(api, source_id=ids["a"])).json()["events"]
    assert event["valid_until"] == "2030-01-01T00:00:00.000000+00:00"


async def test_what_cannot_be_invalidated(api: Api):
    hers = await stored(api, "hers", ALICE, scope="collective")
    other = await stored(api, "other", ALICE, scope="collective")
    await link(api, hers, other, agent=ALICE)
    fact = {"source_id": hers, "target_id": other, "relation": "related_to"}

    no_link = await invalidate(api, ALICE, **{**fact, "relation": "supersedes"})
    no_source = await invalidate(api, ALICE, **{**fact, "source_id": "nobody"})
    not_hers = await invalidate(api, BOB, **fact)
    no_word = await invalidate(api, ALICE, **{**fact, "relation": "likes"})

    assert no_link.status_code == no_source.status_code == 404
    assert no_link.json()["found"] is False
    assert no_link.json()["relation"] == "supersedes"
    assert no_source.json()["error"] == "source memory not found"
    assert (not_hers.status_code, not_hers.json()["owner"]) == (403, "ai:alice")
    assert (no_word.status_code, no_word.json()["error"]) == (400, "invalid_relation")


# -- paths ---------------------------------------------------------------------------------


async def test_paths_are_found_against_the_links_too_shortest_first(api: Api):
    ids = await graph(api, "ab cb cd ae ed")

    answer = await paths(api, source_id=ids["a"], target_id=ids["d"])

    assert answer.status_code == 200
    assert in_letters(answer, ids) == ["aed", "abcd"]
    assert answer.json()["count"] == 2


async def test_both_addresses_and_both_names_find_paths(api: Api):
    ids = await graph(api, "ab")

    answer = await api.post("/api/v1/find_paths", json={"from_id": ids["a"], "to_id": ids["b"]})

    assert in_letters(answer, ids) == ["ab"]


async def test_a_memory_is_one_path_from_itself(api: Api):
    one = await stored(api, "one")

    assert (await paths(api, source_id=one, target_id=one)).json()["paths"] == [[one]]


async def test_paths_are_bounded_in_length_and_number(api: Api):
    ids = await graph(api, "ab bc cd de ae")

    short = await paths(api, source_id=ids["a"], target_id=ids["e"], max_depth=3)
    few = await paths(api, source_id=ids["a"], target_id=ids["e"], max_results=1)
    both = await paths(api, source_id=ids["a"], target_id=ids["e"])

    assert in_letters(short, ids) == in_letters(few, ids) == ["ae"]
    assert in_letters(both, ids) == ["ae", "abcde"]


@pytest.mark.parametrize("depth", [0, 8])
async def test_a_length_outside_1_to_7_is_422_in_the_backends_name(api: Api, depth: int):
    answer = await paths(api, source_id="a", target_id="b", max_depth=depth)

    assert answer.status_code == 422
    assert answer.json()["error"].startswith("underlying backend error: max_depth ")


async def test_no_path_leads_over_ended_links_or_hidden_memories(api: Api):
    ids = await graph(api, "ab bc ad dc", ALICE, scope="collective")
    await api.put(
        f"/api/v1/memories/{ids['b']}", json={"metadata": {"scope": "private"}}, headers=ALICE
    )
    ends = {"source_id": ids["a"], "target_id": ids["c"]}

    assert sorted(in_letters(await paths(api, ALICE, **ends), ids)) == ["abc", "adc"]
    assert in_letters(await paths(api, BOB, **ends), ids) == ["adc"]
    fact = {"source_id": ids["a"], "target_id": ids["d"], "relation": "related_to"}
    await invalidate(api, ALICE, **fact)
    assert in_letters(await paths(api, BOB, **ends), ids) == []
    assert (await paths(api, BOB, source_id=ids["b"], target_id=ids["c"])).json()["count"] == 0


# -- duplicates ----------------------------------------------------------------------------


class OneVector:
    """An embedder whose every text has the same direction."""

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.full(4, 0.5, np.float32)


async def probe(api: Api, agent=None, **body):
    return await api.post("/api/v1/check_duplicate", json=body, headers=agent or {})


async def test_an_equal_text_is_a_duplicate_even_without_an_embedder(api: Api):
    one = await stored(api, "one", namespace="a/b")

    answer = await probe(api, title="one", content="about one")

    assert answer.status_code == 200
    assert answer.json() == {
        "is_duplicate": True,
        "threshold": 0.85,
        "nearest": {"id": one, "title": "one", "namespace": "a/b", "similarity": 1.0},
        "suggested_merge": one,
        "candidates_scanned": 1,
    }


async def test_a_near_text_needs_an_embedder(api: Api):
    await stored(api, "one")

    answer = await probe(api, title="one", content="about one, roughly")

    assert answer.status_code == 503


async def test_an_equal_text_of_another_agent_or_namespace_is_no_duplicate(api: Api):
    await stored(api, "one", ALICE, namespace="hers")

    hidden = await probe(api, BOB, title="one", content="about one")
    elsewhere = await probe(api, ALICE, title="one", content="about one", namespace="other")

    assert (hidden.status_code, elsewhere.status_code) == (503, 503)


@dataclass(frozen=True)
class Embed:
    """The vector of a memory, as the worker behind the writes brings it."""

    memory_id: str
    vector: tuple[float, ...]
    needs: Needs = field(default_factory=Needs)

    def decide(self, view: View) -> Decided[None]:
        found = view.snapshot(self.memory_id)
        assert found is not None
        text = content_hash(found.memory.title, found.memory.content)
        floats = np.array(self.vector, "<f2").tobytes()
        draft = drafts.embedding(self.memory_id, text, MODEL, 4, floats, "system")
        return Decided(lambda _: None, (draft,))


@pytest.fixture
async def vector_api(tmp_path: Path, clock: MovableClock) -> AsyncIterator[tuple[Api, Store]]:
    """A surface whose store keeps vectors of four numbers, and an embedder for them."""
    path = tmp_path / "vectors.db"
    migrate(path, lambda _: None)
    options = SqliteOptions(FileOptions(path), model=MODEL, dim=4)
    store = SqliteStore.open(options, Sources(clock, SystemRandomness(), RealDiskSync()))
    services = make_services(store, clock, Touches(store, clock, Extensions()))
    services.duplicates.embedder = OneVector()
    async with open_api(services) as api:
        yield api, store
    await store.close()


async def test_the_nearest_text_is_shown_and_is_a_duplicate_above_the_threshold(vector_api):
    api, store = vector_api
    near, far = await stored(api, "near"), await stored(api, "far")
    await store.submit(Embed(near, (0.7, 0.5, 0.4, 0.3)))
    await store.submit(Embed(far, (1.0, 0.0, 0.0, 0.0)))

    loose = (await probe(api, title="new", content="never said")).json()
    strict = (await probe(api, title="new", content="never said", threshold=0.99)).json()

    assert loose["is_duplicate"] is True
    assert loose["suggested_merge"] == loose["nearest"]["id"] == near
    assert loose["nearest"]["similarity"] == pytest.approx(0.955, abs=0.002)
    assert loose["candidates_scanned"] == 2
    assert (strict["is_duplicate"], strict["suggested_merge"]) == (False, None)
    assert strict["nearest"]["id"] == near
    theirs = (await probe(api, BOB, title="new", content="never said")).json()
    assert (theirs["nearest"], theirs["is_duplicate"]) == (None, False)


async def test_nothing_near_is_no_duplicate(services, store, clock, make_api: ApiFactory):
    services.duplicates.embedder = OneVector()
    api = await make_api()

    answer = await probe(api, title="new", content="never said", threshold=0.1)

    assert answer.json() == {
        "is_duplicate": False,
        "threshold": 0.5,
        "nearest": None,
        "suggested_merge": None,
        "candidates_scanned": 0,
    }

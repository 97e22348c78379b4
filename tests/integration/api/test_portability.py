"""`/export` and `/import` over real stores."""

import asyncio
import itertools
from pathlib import Path

import pytest

from app.api.options import ApiOptions
from app.services.caller import Caller
from app.services.touches import Extensions, Touches
from tests.integration.api.conftest import make_services, open_api, open_store

ANN = {"X-Agent-Id": "ai:ann"}


async def stored(api, title, headers=None, **fields):
    body = {"title": title, "content": f"{title} was stored", "namespace": "trip", **fields}
    reply = await api.post("/api/v1/memories", json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()["memory"]


async def exported(api):
    reply = await api.get("/api/v1/export")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


async def imported(api, memories, links=(), **query):
    body = {"memories": memories, "links": list(links)}
    reply = await api.post("/api/v1/import", json=body, params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def linked(api, source, *targets):
    """Links from one memory to others."""
    links = [
        {
            "source_id": source,
            "target_id": target,
            "relation": "derived_from",
            "created_at": "2024-01-01T00:00:00Z",
        }
        for target in targets
    ]
    assert (await imported(api, [], links))["links_imported"] == len(targets)


def row(number=0, **fields):
    return {
        "id": f"row-{number}",
        "tier": "long",
        "namespace": "trip",
        "title": f"Row {number}",
        "content": f"text {number}",
        "tags": ["a"],
        "priority": 6,
        "confidence": 0.5,
        "source": "user",
        "access_count": 3,
        "created_at": "2024-01-01T00:00:00Z",
        "updated_at": "2024-01-02T00:00:00Z",
        **fields,
    }


@pytest.fixture
async def other_api(tmp_path: Path, clock):
    """A second node with a store of its own."""
    store = open_store(tmp_path / "other.db", clock)
    services = make_services(store, clock, Touches(store, clock, Extensions()))
    async with open_api(services) as client:
        yield client
    await store.close()


async def test_an_empty_store_exports_an_empty_document(api):
    found = await exported(api)

    assert found.pop("exported_at").endswith("+00:00")
    assert found == {"memories": [], "links": [], "count": 0}


async def test_an_export_holds_live_rows_by_age_and_links_between_them(api, clock):
    first = await stored(api, "first", tier="long", metadata={"deep": {"x": [1, None]}})
    second = await stored(api, "second", ANN, tier="long")
    dying = await stored(api, "dying", ttl_secs=60)
    gone = await stored(api, "gone")
    await linked(api, first["id"], second["id"], dying["id"], gone["id"])
    await api.delete(f"/api/v1/memories/{gone['id']}")
    clock.advance(minutes=2)

    found = await exported(api)

    assert [one["title"] for one in found["memories"]] == ["first", "second"]
    assert found["count"] == 2
    assert found["memories"][0] == first
    (link,) = found["links"]
    assert (link["source_id"], link["target_id"]) == (first["id"], second["id"])


async def test_an_export_imported_elsewhere_gives_the_same_export(api, other_api):
    ids = [
        (await stored(api, f"m{n}", scope="team", tags=["x"], kind="claim"))["id"] for n in (1, 2)
    ]
    await stored(api, "with expiry", tier="mid")
    await stored(api, "ours", tier="mid")
    await api.put("/api/v1/memories/" + ids[1], json={"content": "changed", "expires_at": "never"})
    await linked(api, *ids)
    await api.post("/api/v1/agents", json={"agent_id": "ai:x", "agent_type": "human"})
    await api.post("/api/v1/notify", json={"to": "spiffe://a/b", "subject": "s", "body": "b"})
    before = await exported(api)

    outcome = await imported(other_api, before["memories"], before["links"])
    after = await exported(other_api)

    assert (outcome["imported"], outcome["errors"]) == (before["count"], [])
    assert (outcome["links_imported"], outcome["links_skipped"]) == (1, 0)
    assert {**after, "exported_at": ""} == {**before, "exported_at": ""}
    # Once more changes nothing, not even a version.
    await imported(other_api, before["memories"], before["links"])
    assert (await exported(other_api))["memories"] == before["memories"]


async def test_pages_of_an_export_give_all_of_it_once(api):
    made = [await stored(api, f"m{number}") for number in range(5)]
    await linked(api, *(memory["id"] for memory in made[:4]))
    whole = await exported(api)

    memories, links, cursor = [], [], None
    for _ in range(20):
        query = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        page = (await api.get("/api/v1/export", params=query)).json()
        assert page["count"] == len(page["memories"]) <= 2
        memories += page["memories"]
        links += page["links"]
        cursor = page.get("next_cursor")
        if cursor is None:
            break

    assert cursor is None
    assert (memories, links) == (whole["memories"], whole["links"])
    assert len(links) == 3


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": -1}, {"cursor": "nonsense"}])
async def test_pages_that_cannot_be_are_refused(api, query):
    assert (await api.get("/api/v1/export", params=query)).status_code == 400


async def test_an_imported_row_belongs_to_its_importer_and_remembers_its_owner(api):
    foreign = row(
        1, metadata={"agent_id": "ai:far", "topic": "t"}, expires_at="2020-01-01T00:00:00Z"
    )
    mine = row(2, metadata={"agent_id": "ai:far"})
    ownerless = row(3)

    outcome = await imported(api, [foreign, mine, ownerless])

    assert (outcome["imported"], outcome["restamped"], outcome["trusted_source"]) == (3, 3, False)
    assert (await api.get("/api/v1/memories/row-1")).status_code == 404  # its expiry is past
    memory = (await api.get("/api/v1/memories/row-2")).json()["memory"]
    assert memory["metadata"] == {"agent_id": "local", "imported_from_agent_id": "ai:far"}
    kept = {"priority": 6, "confidence": 0.5, "source": "user", "access_count": 3, "tags": ["a"]}
    assert kept.items() <= memory.items()
    assert memory["created_at"] == "2024-01-01T00:00:00.000000+00:00"
    memory = (await api.get("/api/v1/memories/row-3")).json()["memory"]
    assert memory["metadata"] == {"agent_id": "local"}


async def test_a_trusted_source_keeps_its_owners(api):
    outcome = await imported(api, [row(metadata={"agent_id": "ai:ann"})], trust_source="true")

    assert (outcome["restamped"], outcome["trusted_source"]) == (0, True)
    assert (await api.get("/api/v1/memories/row-0", headers=ANN)).status_code == 200
    assert (await api.get("/api/v1/memories/row-0")).status_code == 404


async def test_each_row_fails_alone_and_says_why(api):
    theirs = await stored(api, "Taken", ANN)
    await stored(api, "Here")
    rows = [
        row(0),
        row(1, content=""),
        row(2, title="Taken"),
        row(3, title="Here", content="new text"),
        row(4, created_at="yesterday"),
        row(0, title="Another title for the first id"),
    ]

    outcome = await imported(api, rows)

    assert outcome["imported"] == 2
    assert outcome["errors"] == [
        "validation failed: row 1: content cannot be empty",
        "forbidden: row 2: caller does not own this memory",
        "validation failed: row 4: created_at is not valid RFC3339: 'yesterday'",
        "conflict: already exists: row 5: this id stands under another title",
    ]
    statuses = [result["status"] for result in outcome["results"]]
    assert statuses == ["imported", "failed", "failed", "updated", "failed", "failed"]
    codes = [result["code"] for result in outcome["results"] if "code" in result]
    assert codes == ["INVALID", "NOT_OWNER", "INVALID", "CONFLICT"]
    untouched = (await api.get(f"/api/v1/memories/{theirs['id']}", headers=ANN)).json()["memory"]
    assert untouched == theirs


async def test_a_deleted_row_comes_back_under_its_id_and_an_erased_one_under_another(api):
    deleted = await stored(api, "deleted", metadata={"old": 1})
    erased = await stored(api, "erased")
    await api.delete(f"/api/v1/memories/{deleted['id']}")
    await api.delete(f"/api/v1/memories/{erased['id']}?purge=true")
    link = {
        "source_id": deleted["id"],
        "target_id": erased["id"],
        "relation": "derived_from",
        "created_at": "2024-01-01T00:00:00Z",
        "attest_level": "self_signed",
        "signature": [7] * 64,
    }
    del deleted["metadata"]["old"]

    outcome = await imported(api, [deleted, erased], [link])

    first, second = (result["id"] for result in outcome["results"])
    assert first == deleted["id"]
    assert second != erased["id"]
    memory = (await api.get(f"/api/v1/memories/{first}")).json()["memory"]
    assert "old" not in memory["metadata"]
    # The link follows the row; its signature named the old id.
    (found,) = (await exported(api))["links"]
    assert (found["source_id"], found["target_id"]) == (first, second)
    assert found["attest_level"] == "unsigned"
    assert "signature" not in found


async def test_links_that_cannot_be_are_counted_and_signatures_are_kept(api):
    good = {"source_id": "row-0", "target_id": "row-1", "created_at": "2024-01-01T00:00:00Z"}
    links = [
        {**good, "relation": "derived_from", "attest_level": "self_signed", "signature": [9] * 64},
        {**good, "relation": "admires"},
        {**good, "relation": "supersedes", "target_id": "row-0"},
        {**good, "relation": "supersedes", "target_id": "unknown"},
        {**good, "relation": "supersedes", "created_at": "once"},
        {**good, "relation": "contradicts", "attest_level": "peer_attested", "signature": [300]},
    ]

    outcome = await imported(api, [row(0), row(1)], links)

    assert (outcome["links_imported"], outcome["links_skipped"]) == (3, 3)
    found = {link["relation"]: link for link in (await exported(api))["links"]}
    assert found["derived_from"]["signature"] == [9] * 64
    assert found["derived_from"]["attest_level"] == "self_signed"
    assert found["contradicts"]["attest_level"] == "unsigned"
    assert "related_to" in found  # how v0.7.0 reads a word that it does not know


async def test_rows_count_against_the_quota_and_fail_beyond_it(api):
    assert (await imported(api, [row(number) for number in range(999)]))["imported"] == 999

    outcome = await imported(api, [row(1_000), row(1_001)])

    assert outcome["imported"] == 1
    (error,) = outcome["errors"]
    assert error.startswith("quota exceeded: row 1: QUOTA_EXCEEDED: agent local")


async def test_more_rows_than_a_thousand_are_refused_even_before_the_role_is_asked(make_api):
    api = await make_api(ApiOptions())
    body = {"memories": [row(number) for number in range(1_001)]}

    too_many = await api.post("/api/v1/import", json=body)
    nobody = await api.post("/api/v1/import", json={"memories": []})
    export = await api.get("/api/v1/export")

    assert too_many.status_code == 400
    assert too_many.json()["error"] == "import limited to 1000 memories"
    for reply in (nobody, export):
        assert (reply.status_code, reply.json()["error"]) == (403, "admin role required")


async def test_a_body_that_is_no_export_is_refused(api):
    for body, error in (
        ({}, "missing required field: memories"),
        ({"memories": [{"id": "x"}]}, "missing required field: memories[0].tier"),
        ({"memories": [row(priority="high")]}, "invalid request body: memories[0].priority"),
    ):
        reply = await api.post("/api/v1/import", json=body)
        assert reply.status_code == 422
        assert reply.json()["error"].startswith(error)


async def test_others_have_their_turn_between_the_steps_of_an_export(api, services):
    for start in (0, 300):
        rows = [row(number) for number in range(start, start + 300)]
        assert (await imported(api, rows))["imported"] == 300
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    seen, turns_at = 0, []
    async for page in services.portability.export(Caller("local", is_admin=True)):
        assert len(page.memories) + len(page.links) <= 250
        seen += len(page.memories)
        turns_at.append(turns)
    others.cancel()

    assert seen == 600
    assert len(turns_at) == 4
    assert all(later > sooner for sooner, later in itertools.pairwise(turns_at))

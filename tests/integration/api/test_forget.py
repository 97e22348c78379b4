"""`POST /forget` over a real store."""

import pytest

ALICE = {"X-Agent-Id": "alice"}
FORGET = "/api/v1/forget"
MEMORIES = "/api/v1/memories"


async def stored(api, title, content, **body):
    body = {"title": title, "content": content, **body}
    reply = await api.post(MEMORIES, json=body, headers=ALICE)
    assert reply.status_code == 201, reply.text
    return reply.json()


@pytest.fixture
async def shelf(api):
    await stored(api, "a", "green tea", namespace="n", tier="short")
    await stored(api, "b", "black coffee", namespace="n", tier="long")
    await stored(api, "c", "black tea", namespace="m", tier="long")
    return api


async def left(api):
    reply = await api.get(MEMORIES, headers=ALICE)
    return sorted(memory["title"] for memory in reply.json()["memories"])


@pytest.mark.parametrize("place", ["json", "params"])
@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ({"namespace": "n"}, ["c"]),
        ({"tier": "long"}, ["a"]),
        ({"pattern": "green coffee"}, ["c"]),
        ({"pattern": "tea", "tier": "long"}, ["a", "b"]),
        ({"pattern": "black", "namespace": "m"}, ["a", "b"]),
    ],
)
async def test_all_conditions_must_hold_in_a_body_or_in_the_query(shelf, place, conditions, kept):
    reply = await shelf.post(FORGET, **{place: conditions})

    assert reply.status_code == 200
    assert reply.json() == {"deleted": 3 - len(kept)}
    assert await left(shelf) == kept


async def test_what_is_forgotten_is_in_the_archive(shelf):
    await shelf.post(FORGET, json={"namespace": "m"})
    rows = (await shelf.get("/api/v1/archive")).json()["archived"]

    assert [(row["title"], row["archive_reason"]) for row in rows] == [("c", "forget")]


async def test_expired_rows_are_forgotten_as_well(shelf, clock):
    clock.advance(days=1)

    assert (await shelf.post(FORGET, json={"namespace": "n"})).json() == {"deleted": 2}


@pytest.mark.parametrize("place", ["json", "params"])
async def test_a_dry_run_only_counts(shelf, place):
    asked = {"namespace": "n", "dry_run": True if place == "json" else "true"}
    reply = await shelf.post(FORGET, **{place: asked})

    assert reply.json() == {"deleted": 0, "would_delete": 2, "dry_run": True}
    assert await left(shelf) == ["a", "b", "c"]


@pytest.mark.parametrize("asked", [{}, {"json": {}}, {"json": {"namespace": ""}}])
async def test_no_condition_at_all_is_refused(shelf, asked):
    reply = await shelf.post(FORGET, **asked)

    assert reply.status_code == 400
    assert reply.json()["error"] == "at least one of namespace, pattern, or tier is required"
    assert await left(shelf) == ["a", "b", "c"]


async def test_forgetting_is_for_admins(shelf):
    reply = await shelf.post(FORGET, json={"namespace": "n"}, headers=ALICE)

    assert (reply.status_code, reply.json()["error"]) == (403, "admin role required")
    assert await left(shelf) == ["a", "b", "c"]


async def test_an_unknown_tier_is_refused(shelf):
    assert (await shelf.post(FORGET, json={"tier": "huge"})).status_code == 400


async def test_more_rows_than_one_entry_holds_are_forgotten(api):
    rows = [{"title": f"t{n}", "content": f"many words {n}"} for n in range(600)]
    assert (await api.post(f"{MEMORIES}/bulk", json=rows)).json()["created"] == 600

    assert (await api.post(FORGET, json={"pattern": "words"})).json() == {"deleted": 600}
    assert (await api.get("/api/v1/archive/stats")).json()["archived_total"] == 600

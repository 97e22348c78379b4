"""`GET /search` over a real store."""

import json

import pytest

ALICE = {"X-Agent-Id": "alice"}
BOB = {"X-Agent-Id": "bob"}
SEARCH = "/api/v1/search"


async def stored(api, title, content, headers=ALICE, **body):
    body = {"title": title, "content": content, **body}
    reply = await api.post("/api/v1/memories", json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def found(api, headers=ALICE, **params):
    reply = await api.get(SEARCH, params=params, headers=headers)
    assert reply.status_code == 200, reply.text
    return [row["title"] for row in reply.json()["results"]]


async def test_a_search_wants_every_word_and_answers_under_both_keys(api):
    await stored(api, "a", "the release train leaves on friday")
    await stored(api, "b", "the release notes")
    reply = (await api.get(SEARCH, params={"q": "release friday"}, headers=ALICE)).json()

    assert [row["title"] for row in reply["results"]] == ["a"]
    assert reply["memories"] == reply["results"]
    assert (reply["count"], reply["total"], reply["query"]) == (1, 1, "release friday")
    assert reply["next_cursor"] is None


async def test_a_search_is_a_pure_read_and_shows_the_real_version(api, touches):
    body = await stored(api, "a", "green tea")
    await api.put(f"/api/v1/memories/{body['id']}", json={"priority": 6}, headers=ALICE)
    await api.get(SEARCH, params={"q": "tea"}, headers=ALICE)

    assert await touches.flush() == 0
    row = (await api.get(SEARCH, params={"q": "tea"}, headers=ALICE)).json()["results"][0]
    assert (row["version"], row["access_count"]) == (2, 0)


async def test_importance_orders_equal_texts(api):
    for title, priority in (("low", 1), ("high", 10), ("middle", 5)):
        await stored(api, title, "the same words here", priority=priority, force=True)

    assert await found(api, q="same words") == ["high", "middle", "low"]


async def test_a_private_row_is_found_by_its_owner_its_addressee_and_in_its_namespace(api):
    await stored(api, "own", "secret word")
    await stored(api, "to bob", "secret letter", metadata={"target_agent_id": "bob"})
    await stored(api, "at bob's", "secret place", namespace="bob")

    assert set(await found(api, q="secret")) == {"own", "to bob", "at bob's"}
    assert set(await found(api, q="secret", headers=BOB)) == {"to bob", "at bob's"}


@pytest.mark.parametrize(
    ("scope", "seen_from"),
    [
        ("team", {"o/u/t/x", "o/u/t/y"}),
        ("unit", {"o/u/t/x", "o/u/t/y", "o/u/s/x"}),
        ("org", {"o/u/t/x", "o/u/t/y", "o/u/s/x", "o/v/t/x"}),
        ("collective", {"o/u/t/x", "o/u/t/y", "o/u/s/x", "o/v/t/x", "p/u/t/x"}),
        ("private", {"o/u/t/x"}),
    ],
)
async def test_a_scope_reaches_as_far_as_its_word_says(api, scope, seen_from):
    await stored(api, "shared", "common knowledge", namespace="o/u/t/x", scope=scope)
    places = ("o/u/t/x", "o/u/t/y", "o/u/s/x", "o/v/t/x", "p/u/t/x")

    reached = {
        place for place in places if await found(api, q="knowledge", as_agent=place, headers=BOB)
    }
    assert reached == seen_from


async def test_a_wildcard_in_a_position_is_only_a_character(api):
    await stored(api, "t", "common", namespace="a_b/x", scope="team")

    assert await found(api, q="common", as_agent="aXb/y", headers=BOB) == []
    assert await found(api, q="common", as_agent="a_b/y", headers=BOB) == ["t"]


async def test_filters_and_source_narrow_a_search(api, clock):
    await stored(api, "a", "red apple", namespace="n", tier="long", tags=["x"], source_uri="doc:a")
    clock.advance(days=1)
    middle = clock.now().isoformat()
    clock.advance(days=1)
    await stored(api, "b", "green apple", source_uri="doc:b", priority=9)

    assert await found(api, q="apple", namespace="n") == ["a"]
    assert await found(api, q="apple", tier="mid") == ["b"]
    assert await found(api, q="apple", tags="x") == ["a"]
    assert await found(api, q="apple", min_priority=9) == ["b"]
    assert await found(api, q="apple", since=middle) == ["b"]
    assert await found(api, q="apple", until=middle) == ["a"]
    assert await found(api, q="apple", source_uri="doc:b") == ["b"]
    assert await found(api, q="apple", agent_id="bob") == []


async def test_a_source_alone_lists_oldest_first(api, clock):
    for title in ("first", "second"):
        await stored(api, title, f"text {title}", source_uri="doc:manual", priority=3)
        clock.advance(seconds=1)
    reply = await api.get(SEARCH, params={"source_uri": "doc:manual"}, headers=ALICE)

    body = reply.json()
    assert [row["title"] for row in body["results"]] == ["first", "second"]
    assert body["source_uri"] == "doc:manual"
    assert "query" not in body


async def test_pages_of_a_search_follow_each_other(api):
    for number in range(5):
        await stored(api, f"t{number}", f"same word {number}", priority=number + 1)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"q": "word", "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await api.get(SEARCH, params=params, headers=ALICE)).json()
        assert page["total"] == 5
        seen.extend(row["title"] for row in page["results"])
        cursor = page["next_cursor"]

    assert seen == ["t4", "t3", "t2", "t1", "t0"]


async def test_expired_rows_are_not_found(api, clock):
    await stored(api, "a", "short lived", ttl_secs=60)
    clock.advance(seconds=61)

    assert await found(api, q="lived") == []


@pytest.mark.parametrize("query", ['AND "* ^', "NOT", "()", "\u200b", "OR NEAR"])
async def test_a_query_of_nothing_but_signs_matches_nothing(api, query):
    await stored(api, "a", "and or not near")

    assert await found(api, q=query) == []


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "q or source_uri is required"),
        (
            {"source_uri": "http://a"},
            "invalid source_uri filter: source URI must start with one of: uri:, doc:, file:",
        ),
        ({"q": "a", "as_agent": "a b"}, None),
        ({"q": "a", "format": "xml"}, None),
        ({"q": "a", "since": "x"}, None),
        ({"q": "a", "cursor": "x"}, None),
    ],
)
async def test_a_malformed_search_is_a_400(api, params, text):
    reply = await api.get(SEARCH, params=params)

    assert reply.status_code == 400
    assert text is None or reply.json()["error"] == text


async def test_a_search_can_be_a_full_table(api):
    body = await stored(api, "a:b", "line\nbreak tea", tags=["t"], scope="team")
    reply = await api.get(SEARCH, params={"q": "tea", "format": "toon"}, headers=ALICE)

    head, row = reply.text.splitlines()[1:]
    assert head == (
        "memories[id|title|tier|namespace|priority|confidence|score|access_count|tags|source"
        "|created_at|updated_at|metadata]:"
    )
    cells = row.split("|")
    assert cells[:6] == [body["id"], "a\\:b", "mid", "global", "5", "1.0"]
    assert json.loads(cells[-1].replace("\\:", ":")) == {"agent_id": "alice", "scope": "team"}

"""`GET` and `POST /recall` over a real store, by words alone (no embedder)."""

from datetime import timedelta

import pytest

from app.services.caller import Caller
from app.services.recall import Question, RecallService, ScopeDefaults
from tests.integration.api.conftest import make_pipeline

ALICE = {"X-Agent-Id": "alice"}
BOB = {"X-Agent-Id": "bob"}
RECALL = "/api/v1/recall"


async def stored(api, title, content, headers=ALICE, **body):
    body = {"title": title, "content": content, **body}
    reply = await api.post("/api/v1/memories", json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def recalled(api, headers=ALICE, **body):
    reply = await api.post(RECALL, json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


def titles(answer):
    return [row["title"] for row in answer["memories"]]


async def test_a_recall_wants_any_word_and_answers_scored_memories(api):
    await stored(api, "deploys", "the release train leaves on friday")
    await stored(api, "lunch", "soup on monday")
    answer = await recalled(api, context="when does the train leave?")

    assert titles(answer) == ["deploys"]
    assert answer.keys() == {"memories", "count", "total", "next_cursor", "tokens_used", "mode"}
    assert (answer["count"], answer["mode"]) == (1, "keyword")
    assert answer["tokens_used"] == len("the release train leaves on friday") // 4
    row = answer["memories"][0]
    assert row["score"] == round(row["score"], 3)
    assert row["access_count"] == 0


@pytest.mark.parametrize("name", ["context", "query", "q"])
async def test_the_question_has_three_names_in_both_forms(api, name):
    await stored(api, "a", "green tea")

    assert titles(await recalled(api, **{name: "tea"})) == ["a"]
    by_query = await api.get(RECALL, params={name: "tea"}, headers=ALICE)
    assert titles(by_query.json()) == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"context": "  "},
        {"context": "a", "format": "xml"},
        {"context": "a", "as_agent": "a b"},
        {"context": "a", "since": "x"},
        {"context": "a", "budget_tokens": -1},
        {"context": "a", "limit": -1},
        {"context": "a", "confidence_tier": "sure"},
    ],
)
async def test_a_malformed_question_is_a_400(api, body):
    assert (await api.post(RECALL, json=body)).status_code == 400
    assert (await api.get(RECALL, params=body)).status_code == 400


async def test_as_agent_must_be_the_caller_and_is_the_caller_without_a_header(api):
    await stored(api, "mine", "green tea", headers=BOB)
    reply = await api.post(RECALL, json={"context": "tea", "as_agent": "bob"}, headers=ALICE)

    assert reply.status_code == 403
    assert reply.json()["error"] == (
        'agent_id_query_header_mismatch: query-supplied agent_id "bob" disagrees with'
        ' authenticated header-resolved id "alice"'
    )
    assert titles(await recalled(api, headers={}, context="tea", as_agent="bob")) == ["mine"]


async def test_the_limit_is_ten_unless_said_and_fifty_at_most(api):
    for number in range(55):
        await stored(api, f"t{number}", f"same word {number}")

    assert (await recalled(api, context="word"))["count"] == 10
    assert (await recalled(api, context="word", limit=0))["count"] == 10
    assert (await recalled(api, context="word", limit=3))["count"] == 3
    assert (await recalled(api, context="word", limit=1_000))["count"] == 50


async def test_a_namespace_brings_its_ancestors_but_not_its_descendants(api):
    for namespace in ("a", "a/b", "a/b/c", "a/x"):
        await stored(api, namespace, f"tea in {namespace}", namespace=namespace)

    assert set(titles(await recalled(api, context="tea", namespace="a/b"))) == {"a/b", "a"}
    assert titles(await recalled(api, context="tea", namespace="a")) == ["a"]


async def test_filters_act_before_the_limit(api):
    for number in range(12):
        await stored(api, f"n{number}", f"tea {number}", priority=10)
    citation = {"uri": "doc:a", "accessed_at": "2026-06-12T09:15:02Z"}
    await stored(
        api,
        "cited",
        "tea cited",
        priority=1,
        citations=[citation],
        kind="claim",
        source_uri="doc:a/b",
        confidence=0.8,
        tags=["x"],
    )
    for narrowed in (
        {"has_citations": True},
        {"kinds": ["claim"]},
        {"kinds": "claim,unknown"},
        {"source_uri_prefix": "doc:a"},
        {"confidence_tier": "likely"},
        {"tags": "x"},
    ):
        assert titles(await recalled(api, context="tea", limit=1, **narrowed)) == ["cited"]
    assert (await recalled(api, context="tea", kinds="unknown"))["count"] == 0
    assert (await recalled(api, context="tea", kinds="all", limit=50))["count"] == 13


async def test_others_private_rows_are_left_out_before_the_limit(api):
    for number in range(12):
        await stored(api, f"b{number}", f"tea {number}", headers=BOB, priority=10)
    await stored(api, "own", "tea", priority=1)

    assert titles(await recalled(api, context="tea", limit=1)) == ["own"]


async def test_a_budget_takes_rows_until_one_does_not_fit(api):
    for number in range(4):
        await stored(api, f"t{number}", "tea " * 40 + str(number), priority=5)
    whole = await recalled(api, context="tea", budget_tokens=1_000)
    cut = await recalled(api, context="tea", budget_tokens=100)

    assert (whole["count"], whole["meta"]["memories_dropped"]) == (4, 0)
    assert cut["count"] == 2
    assert cut["budget_tokens"] == 100
    assert cut["tokens_used"] == cut["meta"]["budget_tokens_used"] <= 100
    assert cut["meta"]["budget_tokens_remaining"] == 100 - cut["tokens_used"]
    assert (cut["meta"]["memories_dropped"], cut["meta"]["budget_overflow"]) == (2, False)


async def test_a_budget_of_nothing_answers_nothing_and_too_little_answers_one(api):
    await stored(api, "a", "tea " * 40)

    assert (await recalled(api, context="tea", budget_tokens=0))["count"] == 0
    little = await recalled(api, context="tea", budget_tokens=1)
    assert (little["count"], little["meta"]["budget_overflow"]) == (1, True)


# -- touching ----------------------------------------------------------------------------------


async def test_each_returned_row_counts_as_accessed_once_the_touches_are_written(api, touches):
    body = await stored(api, "a", "tea")
    await stored(api, "b", "coffee")
    for _ in range(3):
        await recalled(api, context="tea")
    assert await touches.flush() == 1

    memory = (await api.get(f"/api/v1/memories/{body['id']}", headers=ALICE)).json()
    assert memory["access_count"] == 3
    assert memory["last_accessed_at"] > memory["created_at"]
    assert memory["version"] == 1


async def test_an_access_lengthens_a_life_and_never_shortens_it(api, touches, clock):
    body = await stored(api, "a", "tea", tier="short")
    url = f"/api/v1/memories/{body['id']}"
    await recalled(api, context="tea")
    await touches.flush()
    assert (await api.get(url, headers=ALICE)).json()["expires_at"] == body["expires_at"]

    clock.advance(seconds=21_000)
    await recalled(api, context="tea")
    await touches.flush()
    clock.advance(seconds=3_500)
    assert (await api.get(url, headers=ALICE)).status_code == 200
    clock.advance(seconds=200)
    assert (await api.get(url, headers=ALICE)).status_code == 404


async def test_five_accesses_make_a_mid_memory_long_and_ten_raise_its_priority(api, touches):
    body = await stored(api, "a", "tea")
    url = f"/api/v1/memories/{body['id']}"
    for _ in range(5):
        await recalled(api, context="tea")
    await touches.flush()
    five = (await api.get(url, headers=ALICE)).json()
    for _ in range(5):
        await recalled(api, context="tea")
    await touches.flush()
    ten = (await api.get(url, headers=ALICE)).json()

    assert five["tier"] == "long"
    assert "expires_at" not in five
    assert (five["priority"], ten["priority"]) == (5, 6)


async def test_a_deleted_row_is_not_touched_any_more(api, touches):
    body = await stored(api, "a", "tea")
    await recalled(api, context="tea")
    await api.delete(f"/api/v1/memories/{body['id']}", headers=ALICE)

    assert await touches.flush() == 0


# -- sessions and forms ------------------------------------------------------------------------


async def test_a_session_prefers_what_it_was_answered_before(api):
    await stored(api, "a", "tea one two", priority=5)
    await stored(api, "b", "tea one two three", priority=5)
    before = await recalled(api, context="one two three", session_id="s", limit=1)
    again = await recalled(api, context="tea", session_id="s")
    fresh = await recalled(api, context="tea", session_id="other")

    chosen = titles(before)[0]
    scores = {row["title"]: row["score"] for row in again["memories"]}
    plain = {row["title"]: row["score"] for row in fresh["memories"]}
    assert scores[chosen] == pytest.approx(plain[chosen] + 0.05, abs=0.002)


async def test_a_session_default_fills_what_the_question_leaves_out(
    api, store, clock, touches, services
):
    await stored(api, "old", "tea one", namespace="n", tier="long")
    clock.advance(days=2)
    await stored(api, "elsewhere", "tea two", tier="long")
    await stored(api, "mid", "tea three", namespace="n")
    await stored(api, "wanted", "tea four", namespace="n", tier="long")
    await stored(api, "wanted too", "tea five", namespace="n", tier="long")
    recall = RecallService(
        store,
        make_pipeline(store, clock),
        clock,
        touches,
        services.metrics,
        ScopeDefaults(namespace="n", since=timedelta(days=1), tier="long", limit=1),
    )

    async def answered(**asked):
        answer = await recall.recall(
            Question("tea", session_default=True, **asked), Caller("alice")
        )
        return {row.memory.title for row in answer.rows}

    assert len(await answered()) == 1
    assert await answered(limit=9) == {"wanted", "wanted too"}
    assert await answered(limit=9, since="2000-01-01T00:00:00Z") == {"old", "wanted", "wanted too"}
    assert await answered(limit=9, namespace="global") == {"elsewhere"}


async def test_verbose_provenance_adds_three_words_to_each_row(api):
    await stored(api, "sure", "tea", confidence=0.95)
    await stored(api, "unsure", "tea too", confidence=0.5)
    by_header = await api.post(
        RECALL, json={"context": "tea"}, headers={**ALICE, "Accept-Provenance": "verbose"}
    )
    by_key = await recalled(api, context="tea", verbose_provenance=True)

    for answer in (by_header.json(), by_key):
        words = {
            row["title"]: (
                row["confidence_tier"],
                row["freshness_state"],
                row["latest_link_attest_level"],
            )
            for row in answer["memories"]
        }
        assert words == {
            "sure": ("confirmed", "fresh", None),
            "unsure": ("ambiguous", "fresh", None),
        }


async def test_a_recall_can_be_a_table(api):
    body = await stored(api, "a", "green tea")
    reply = await api.post(
        RECALL,
        json={"context": "tea", "format": "toon_compact", "budget_tokens": 50},
        headers=ALICE,
    )

    head, columns, row = reply.text.splitlines()
    assert head.startswith("count:1|mode:keyword|tokens_used:")
    assert head.endswith("|budget_tokens:50")
    assert columns == "memories[id|title|tier|namespace|priority|score|tags|agent_id]:"
    assert row.startswith(f"{body['id']}|a|mid|global|5|")

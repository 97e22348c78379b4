"""`/consolidate` and `/contradictions` over HTTP."""

import pytest

from tests.integration.api.conftest import Api
from tests.integration.api.test_links import ALICE, BOB, link, stored


async def consolidate(api: Api, ids, agent=None, **body):
    return await api.post(
        "/api/v1/consolidate",
        json={"ids": ids, "title": "What we know", **body},
        headers=agent or {},
    )


async def contradictions(api: Api, agent=None, **query):
    return await api.get("/api/v1/contradictions", params=query, headers=agent or {})


async def memory(api: Api, memory_id: str, agent=None):
    return (await api.get(f"/api/v1/memories/{memory_id}", headers=agent or {})).json()["memory"]


# -- consolidation -------------------------------------------------------------------------


async def test_one_memory_takes_the_place_of_several(api: Api):
    one = await stored(api, "one", tags=["b", "a"], priority=7, metadata={"x": 1, "y": 1})
    two = await stored(api, "two", tags=["c", "a"], priority=3, metadata={"y": 2})

    answer = await consolidate(api, [one, two], summary="Both of them.", namespace="team")

    assert answer.status_code == 201
    body = answer.json()
    assert body == {
        "id": body["id"],
        "consolidated": 2,
        "summary": "Both of them.",
        "content": "Both of them.",
        "memory": {
            "id": body["id"],
            "title": "What we know",
            "content": "Both of them.",
            "namespace": "team",
        },
    }
    row = await memory(api, body["id"])
    assert (row["tier"], row["priority"], row["confidence"]) == ("long", 7, 1.0)
    assert (row["source"], row["tags"]) == ("consolidation", ["a", "b", "c"])
    assert row["metadata"] == {
        "agent_id": "local",
        "consolidated_from_agents": ["local"],
        "derived_from": [one, two],
        "x": 1,
        "y": 2,
    }
    assert "expires_at" not in row


async def test_the_sources_go_to_the_archive_and_can_be_restored(api: Api):
    ids = [await stored(api, title) for title in ("one", "two")]

    await consolidate(api, ids)

    for source in ids:
        assert (await api.get(f"/api/v1/memories/{source}")).status_code == 404
    archived = (await api.get("/api/v1/archive")).json()["archived"]
    assert {row["id"]: row["archive_reason"] for row in archived} == dict.fromkeys(
        ids, "consolidated"
    )
    assert (await api.post(f"/api/v1/archive/{ids[0]}/restore")).status_code == 200


async def test_without_a_summary_the_titles_are_one(api: Api):
    ids = [await stored(api, title) for title in ("one", "two", "three")]

    plain = (await consolidate(api, ids[:2], title="first")).json()
    asked = (await consolidate(api, [ids[2], plain["id"]], title="second", use_llm=True)).json()

    assert plain["summary"] == "Consolidated summary of 2 memories: one; two"
    assert "warnings" not in plain
    assert "LLM" in asked["warnings"][0]


async def test_long_titles_are_cut_to_what_a_content_may_hold(api: Api):
    ids = [await stored(api, f"{number:02} " + "ü" * 500) for number in range(80)]

    summary = (await consolidate(api, ids)).json()["summary"]

    assert 65_000 < len(summary.encode()) <= 65_536


async def test_a_tier_of_its_own_brings_its_expiry(api: Api):
    ids = [await stored(api, title) for title in ("one", "two")]

    row = await memory(api, (await consolidate(api, ids, tier="short")).json()["id"])

    assert row["tier"] == "short"
    assert "expires_at" in row


async def test_a_source_may_give_its_title_to_the_summary(api: Api):
    ids = [await stored(api, title) for title in ("What we know", "two")]

    answer = await consolidate(api, ids)

    assert answer.status_code == 201
    assert (await memory(api, answer.json()["id"]))["title"] == "What we know"


async def test_a_title_that_another_memory_has_is_409_and_changes_nothing(api: Api):
    ids = [await stored(api, title) for title in ("one", "two")]
    holder = await stored(api, "What we know")

    answer = await consolidate(api, ids)

    assert (answer.status_code, answer.json()["existing_id"]) == (409, holder)
    assert (await api.get(f"/api/v1/memories/{ids[0]}")).status_code == 200


async def test_every_source_must_be_the_callers(api: Api):
    hers = await stored(api, "hers", ALICE, scope="collective")
    his = await stored(api, "his", BOB)

    refused = await consolidate(api, [his, hers], BOB)

    assert refused.status_code == 403
    assert refused.json()["error"] == "caller does not own this memory"
    assert (await memory(api, his, BOB))["title"] == "his"


async def test_unknown_and_unseen_sources_are_400(api: Api):
    his, hers = await stored(api, "his", BOB), await stored(api, "hers", ALICE)

    for other in ("nobody", hers):
        answer = await consolidate(api, [his, other], BOB)
        assert answer.status_code == 400
        assert answer.json()["error"] == f"memory not found: {other}"


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (["a"], "need at least 2 memory IDs to consolidate"),
        (
            [str(number) for number in range(101)],
            "cannot consolidate more than 100 memories at once",
        ),
        (["a", "b", "a"], "duplicate memory ID: a"),
        (["a", "b c"], "ids contains invalid characters"),
    ],
)
async def test_what_cannot_be_consolidated(api: Api, ids: list[str], error: str):
    answer = await consolidate(api, ids)

    assert answer.status_code == 400
    assert answer.json()["error"] == error


async def test_a_summary_is_seen_by_nobody_who_could_not_see_a_source(api: Api):
    public = await stored(api, "public", ALICE, scope="collective")
    secret = await stored(api, "secret", ALICE, metadata={"target_agent_id": "ai:bob"})
    mixed = (await consolidate(api, [public, secret], ALICE)).json()["id"]
    others = [await stored(api, f"open {one}", ALICE, scope="collective") for one in range(2)]
    shared = (await consolidate(api, others, ALICE, title="shared")).json()["id"]

    assert (await api.get(f"/api/v1/memories/{mixed}", headers=BOB)).status_code == 404
    assert (await api.get(f"/api/v1/memories/{shared}", headers=BOB)).status_code == 200


async def test_a_claimed_agent_must_be_the_authenticated_one(api: Api):
    answer = await consolidate(api, ["a", "b"], ALICE, agent_id="ai:bob")

    assert answer.status_code == 403


async def test_a_standard_that_is_consolidated_leads_no_more(api: Api):
    ids = [await stored(api, title) for title in ("rules", "more rules")]
    await api.post("/api/v1/namespaces", json={"namespace": "team", "id": ids[0]})

    await consolidate(api, ids)

    answer = await api.get("/api/v1/namespaces", params={"namespace": "team"})
    assert answer.json()["standard_id"] is None


# -- contradictions ------------------------------------------------------------------------


async def test_memories_on_one_topic_with_other_words_disagree(api: Api):
    tea = [
        await stored(api, f"tea {number}", metadata={"topic": "tea"}, content=content)
        for number, content in enumerate(("green", "black", "black"))
    ]
    by_title = await stored(api, "tea", content="none")
    await stored(api, "coffee", metadata={"topic": "coffee"})
    await link(api, tea[0], tea[1], "contradicts")

    body = (await contradictions(api, topic="tea")).json()

    assert {row["id"] for row in body["memories"]} == {*tea, by_title}
    first, *rest = body["links"]
    assert first == {
        "source_id": tea[0],
        "target_id": tea[1],
        "relation": "contradicts",
        "synthesized": False,
    }
    pairs = {frozenset((one["source_id"], one["target_id"])) for one in rest}
    assert pairs == {
        frozenset((tea[0], tea[1])),
        frozenset((tea[0], tea[2])),
        *(frozenset((by_title, one)) for one in tea),
    }
    assert all(one["synthesized"] for one in rest)
    assert body["truncated"] is False


async def test_contradictions_keep_to_a_namespace_and_to_what_the_caller_sees(api: Api):
    for namespace in ("here", "there"):
        for agent in (ALICE, BOB):
            await stored(
                api,
                f"{namespace} {agent['X-Agent-Id']}",
                agent,
                namespace=namespace,
                metadata={"topic": "tea"},
            )

    body = (await contradictions(api, ALICE, topic="tea", namespace="here")).json()
    whole = (await contradictions(api, ALICE, namespace="here")).json()

    assert [row["title"] for row in body["memories"]] == ["here ai:alice"]
    assert [row["title"] for row in whole["memories"]] == ["here ai:alice"]
    assert body["links"] == whole["links"] == []


async def test_contradictions_need_a_topic_or_a_namespace(api: Api):
    answer = await contradictions(api)

    assert answer.status_code == 400
    assert answer.json()["fields"] == ["topic", "namespace"]


async def test_too_many_pairs_are_cut_and_said_so(api: Api):
    rows = [
        {"title": f"tea {number}", "content": f"{number} cups", "metadata": {"topic": "tea"}}
        for number in range(110)
    ]
    await api.post("/api/v1/memories/bulk", json=rows)

    body = (await contradictions(api, topic="tea", limit=1_000)).json()

    assert (len(body["memories"]), len(body["links"])) == (110, 5_000)
    assert body["truncated"] is True

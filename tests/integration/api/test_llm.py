"""Loading by family, and what a node without a language model answers."""

import pytest

ANN = {"X-Agent-Id": "ai:ann"}
BOB = {"X-Agent-Id": "ai:bob"}


async def stored(api, title, family, **fields):
    body = {
        "title": title,
        "content": f"{title} was stored",
        "metadata": {"family": family},
        **fields,
    }
    assert (await api.post("/api/v1/memories", json=body, headers=ANN)).status_code == 201


async def load(api, headers=ANN, **body):
    reply = await api.post("/api/v1/memory_load_family", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("path", ["auto_tag", "expand_query"])
@pytest.mark.parametrize("body", [b"", b"no json", b'{"query": 5}', b'{"title": "t"}'])
async def test_without_a_model_every_question_is_answered_the_same(api, path, body):
    reply = await api.post(f"/api/v1/{path}", content=body)

    assert reply.status_code == 503
    assert reply.json()["error"] == "LLM not configured"


async def test_a_family_comes_by_priority_and_within_its_limit(api):
    for title, priority in (("low", 2), ("high", 9), ("middle", 5)):
        await stored(api, title, "core", priority=priority)
    await stored(api, "other", "graph", priority=10)

    found = await load(api, family="core", k=2)

    assert [memory["title"] for memory in found.pop("memories")] == ["high", "middle"]
    assert found == {"family": "core", "namespace": None, "k": 2, "count": 2}


async def test_a_namespace_is_exact_and_others_private_rows_stay_hidden(api):
    await stored(api, "here", "meta", namespace="a/b")
    await stored(api, "below", "meta", namespace="a/b/c")
    await stored(api, "shared", "meta", namespace="a/b", scope="collective")

    mine = await load(api, family="meta", namespace="a/b")
    theirs = await load(api, BOB, family="meta", namespace="a/b")

    assert {memory["title"] for memory in mine["memories"]} == {"here", "shared"}
    assert [memory["title"] for memory in theirs["memories"]] == ["shared"]
    assert mine["namespace"] == "a/b"


@pytest.mark.parametrize(("asked", "used"), [(None, 20), (0, 1), (1_000, 100)])
async def test_the_limit_is_brought_into_its_range(api, asked, used):
    body = {} if asked is None else {"k": asked}

    assert (await load(api, family="other", **body))["k"] == used


async def test_an_unknown_family_is_refused_with_the_known_ones(api):
    reply = await api.post("/api/v1/memory_load_family", json={"family": "cousins"})

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("unknown family 'cousins'")
    assert "lifecycle" in reply.json()["error"]
    assert reply.json()["fields"] == ["family"]

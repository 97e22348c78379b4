"""`/notify` and `/inbox` over a real store."""

import pytest

ANN = {"X-Agent-Id": "ai:ann"}
BOB = {"X-Agent-Id": "ai:bob"}
EVE = {"X-Agent-Id": "ai:eve"}


async def sent(api, title="Status", payload="all is well", **fields):
    body = {"target_agent_id": "ai:bob", "title": title, "payload": payload, **fields}
    reply = await api.post("/api/v1/notify", json=body, headers=ANN)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def inbox(api, headers=BOB, **query):
    reply = await api.get("/api/v1/inbox", params=query, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_message_reaches_its_target_with_every_key(api):
    receipt = await sent(api, priority=7, tier="long")

    assert receipt.keys() == {"id", "from", "to", "namespace", "title", "tier", "delivered_at"}
    assert (receipt["from"], receipt["to"]) == ("ai:ann", "ai:bob")
    assert (receipt["namespace"], receipt["tier"]) == ("_messages/ai:bob", "long")
    found = await inbox(api)
    (message,) = found.pop("messages")
    assert found == {
        "agent_id": "ai:bob",
        "namespace": "_messages/ai:bob",
        "count": 1,
        "unread_only": False,
        "total": 1,
        "next_cursor": None,
    }
    expected = {
        "id": receipt["id"],
        "from": "ai:ann",
        "title": "Status",
        "payload": "all is well",
        "priority": 7,
        "tier": "long",
        "created_at": receipt["delivered_at"],
        "read": False,
        "access_count": 0,
        "to": "ai:bob",
        "subject": "Status",
        "body": "all is well",
    }
    assert expected.items() <= message.items()


async def test_equal_titles_are_separate_messages_even_at_the_greatest_length(api):
    for number in range(2):
        await sent(api, title="x" * 512, payload=f"number {number}")

    messages = (await inbox(api))["messages"]

    assert {message["payload"] for message in messages} == {"number 0", "number 1"}
    assert {message["title"] for message in messages} == {"x" * 512}


async def test_target_and_sender_can_read_the_memory_and_nobody_else(api):
    memory_id = (await sent(api))["id"]

    for headers, status in ((BOB, 200), (ANN, 200), (EVE, 404)):
        reply = await api.get(f"/api/v1/memories/{memory_id}", headers=headers)
        assert reply.status_code == status
    memory = (await api.get(f"/api/v1/memories/{memory_id}", headers=BOB)).json()["memory"]
    assert memory["source"] == "notify"
    assert memory["tags"] == ["_message"]
    facts = {
        "agent_id": "ai:ann",
        "recipient_agent_id": "ai:bob",
        "target_agent_id": "ai:bob",
        "message_kind": "notify",
    }
    assert facts.items() <= memory["metadata"].items()


async def test_metadata_travels_and_cannot_forge_who_sent_it(api):
    await sent(api, metadata={"ticket": 7, "agent_id": "ai:boss", "target_agent_id": "ai:eve"})

    (message,) = (await inbox(api))["messages"]

    assert message["from"] == "ai:ann"
    assert message["metadata"]["ticket"] == 7
    assert (await inbox(api, EVE))["count"] == 0


async def test_unread_and_time_are_filtered_before_the_limit(api, clock, touches):
    for title in ("first", "second", "third"):
        await sent(api, title=title, payload=f"the {title} word")
        clock.advance(minutes=1)
    everything = (await inbox(api))["messages"]
    recalled = await api.post("/api/v1/recall", json={"context": "third"}, headers=BOB)
    assert recalled.json()["count"] == 1
    await touches.flush()

    assert [one["title"] for one in everything] == ["third", "second", "first"]
    for name in ("unread_only", "unread"):
        unread = await inbox(api, limit=1, **{name: "true"})
        assert [one["title"] for one in unread["messages"]] == ["second"]
        assert (unread["total"], unread["unread_only"]) == (2, True)
    late = await inbox(api, since=everything[1]["created_at"])
    assert [one["title"] for one in late["messages"]] == ["third", "second"]
    assert [one["read"] for one in late["messages"]] == [True, False]


async def test_pages_follow_each_other_by_priority(api):
    for priority in (3, 9, 5):
        await sent(api, title=f"p{priority}", priority=priority)

    first = await inbox(api, limit=2)
    rest = await inbox(api, limit=2, cursor=first["next_cursor"])

    assert [one["title"] for one in first["messages"]] == ["p9", "p5"]
    assert [one["title"] for one in rest["messages"]] == ["p3"]
    assert rest["next_cursor"] is None


async def test_a_priority_is_clamped_and_defaults_are_v070s(api):
    await sent(api, title="loud", priority=99)
    await sent(api, title="plain")
    await sent(api, title="faint", priority=-4)

    messages = (await inbox(api))["messages"]

    assert [one["priority"] for one in messages] == [10, 5, 1]
    assert messages[1]["tier"] == "mid"


async def test_the_names_of_the_sdks_are_taken(api):
    body = {"to": "ai:bob", "subject": "Hello", "body": "there", "metadata": {}}

    reply = await api.post("/api/v1/notify", json=body, headers=ANN)

    assert reply.status_code == 201
    (message,) = (await inbox(api))["messages"]
    assert (message["subject"], message["body"]) == ("Hello", "there")


async def test_an_inbox_of_the_other_prefix_is_read_too(api):
    body = {"title": "Old", "content": "from another store", "namespace": "_inbox/ai:bob"}
    await api.post("/api/v1/memories", json=body, headers=ANN)

    (message,) = (await inbox(api))["messages"]

    assert (message["title"], message["from"]) == ("Old", "ai:ann")


async def test_agents_with_slashes_in_their_ids_have_inboxes_of_their_own(api):
    for target in ("spiffe://org/a", "spiffe://org/a/b"):
        await sent(api, target_agent_id=target, title=target)

    found = await inbox(api, {"X-Agent-Id": "spiffe://org/a"})

    assert [one["title"] for one in found["messages"]] == ["spiffe://org/a"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"target_agent_id": "ai:bob", "title": "t"}, 400, "payload or content is required"),
        ({"target_agent_id": "ai:bob", "payload": "p"}, 422, "missing required field: title"),
        ({"title": "t", "payload": "p"}, 422, "missing required field: target_agent_id"),
        ({"to": "a b", "title": "t", "payload": "p"}, 400, "invalid agent_id: "),
        ({"to": "b", "title": " ", "payload": "p"}, 400, "title cannot be empty"),
        ({"to": "b", "title": "t", "payload": ""}, 400, "content cannot be empty"),
        ({"to": "b", "title": "t", "payload": "p", "tier": "eternal"}, 400, "invalid tier"),
        (
            {"to": "b", "title": "t", "payload": "p", "agent_id": "ai:eve"},
            403,
            "agent_id body parameter does not match authenticated caller",
        ),
    ],
)
async def test_bad_messages_are_refused_in_words(api, body, status, error):
    reply = await api.post("/api/v1/notify", json=body, headers=ANN)

    assert reply.status_code == status
    assert reply.json()["error"].startswith(error)


async def test_nobody_reads_the_inbox_of_another_agent(api):
    reply = await api.get("/api/v1/inbox", params={"agent_id": "ai:bob"}, headers=EVE)

    assert reply.status_code == 403
    text = "agent_id query parameter does not match authenticated caller"
    assert reply.json()["error"] == text


@pytest.mark.parametrize(
    ("query", "field"), [({"since": "soon"}, "since"), ({"limit": -1}, "limit")]
)
async def test_bad_inbox_filters_are_refused(api, query, field):
    reply = await api.get("/api/v1/inbox", params=query, headers=BOB)

    assert reply.status_code == 400
    assert field in reply.json()["fields"]

"""The official Python SDK, unchanged, against a running node: every method whose route exists.

Each test runs four times: with the blocking and the asyncio client, without an agent id (the caller
is then the node's default identity) and with one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from ai_memory import (
    AiMemoryClient,
    AsyncAiMemoryClient,
    require_profile,
    require_profile_async,
)
from ai_memory.errors import ConflictError, ForbiddenError, NotFoundError, ValidationError
from ai_memory.models import (
    CreateMemory,
    Memory,
    NotifyRequest,
    SubscriptionRequest,
    Tier,
    UpdateMemory,
)

from tests.integration.node import Node

DEFAULT_AGENT = "local"  # who a caller without an id is on a keyless loopback node
NAMED_AGENT = "ai:sdk-tester"
STRANGER = "ai:somebody-else"
CLAIM_MISMATCH = "agent_id body parameter does not match authenticated caller"


class BlockingClient:
    """The blocking client behind the asyncio client's interface: one test body drives both."""

    def __init__(self, client: AiMemoryClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._client, name)

        async def call(*arguments: object, **named: object) -> Any:
            return method(*arguments, **named)

        return call

    async def aclose(self) -> None:
        self._client.close()


@dataclass(frozen=True)
class Sdk:
    """One client, and who the node takes it for."""

    client: Any
    flavour: str
    agent: str
    has_id: bool
    url: str

    def other(self, agent: str | None) -> Any:
        """A second client of the same flavour under another id."""
        return _client(self.flavour, self.url, agent)


def _client(flavour: str, url: str, agent: str | None) -> Any:
    if flavour == "blocking":
        return BlockingClient(AiMemoryClient(url, agent_id=agent))
    return AsyncAiMemoryClient(url, agent_id=agent)


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    # Without a key, an id in a header is only trusted for administration when the operator says so.
    environment = {"AI_MEMORY_ADMIN_AGENT_IDS": NAMED_AGENT, "AI_MEMORY_ADMIN_HEADER_TRUST": "1"}
    node = Node(tmp_path_factory.mktemp("sdk"), environment=environment)
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture(params=["without id", "with id"])
def identity(request: pytest.FixtureRequest) -> str | None:
    return NAMED_AGENT if request.param == "with id" else None


@pytest.fixture(params=["blocking", "asyncio"])
async def sdk(
    request: pytest.FixtureRequest, shared_node: Node, identity: str | None
) -> AsyncIterator[Sdk]:
    client = _client(request.param, shared_node.url, identity)
    async with aclosing(client):
        yield Sdk(
            client, request.param, identity or DEFAULT_AGENT, identity is not None, shared_node.url
        )


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test writes to."""
    return f"sdk/{uuid4().hex}"


async def stored(sdk: Sdk, namespace: str, title: str = "Tea", **fields: Any) -> str:
    content = fields.pop("content", f"{title} is stored by a test")
    receipt = await sdk.client.store(title=title, content=content, namespace=namespace, **fields)
    identifier: str = receipt["id"]
    return identifier


async def test_health_says_ok_and_which_version_is_spoken(sdk):
    health = await sdk.client.health()

    assert health["status"] == "ok"
    assert health["service"] == "ai-memory"
    assert health["version"] == "0.7.0"


async def test_metrics_are_prometheus_text(sdk):
    text = await sdk.client.metrics()

    assert isinstance(text, str)
    assert "ai_memory_memories" in text


async def test_what_is_stored_comes_back_whole_and_owned_by_the_caller(sdk, namespace):
    content = "Grüße, 世界 👋\n\ttab " + "x" * 60_000
    receipt = await sdk.client.store(
        title="Ünïcode title",
        content=content,
        tier="long",
        namespace=namespace,
        tags=["one", "two"],
        priority=8,
        confidence=0.5,
        source="user",
        metadata={"topic": {"deep": [1, 2.5, None, True]}},
        scope="team",
    )

    assert receipt["title"] == "Ünïcode title"
    assert receipt["tier"] == "long"
    assert receipt["namespace"] == namespace
    assert receipt["agent_id"] == sdk.agent
    memory = await sdk.client.get(receipt["id"])
    assert isinstance(memory, Memory)
    assert memory.content == content
    assert memory.tags == ["one", "two"]
    assert (memory.priority, memory.confidence, memory.source) == (8, 0.5, "user")
    assert memory.metadata["topic"] == {"deep": [1, 2.5, None, True]}
    assert memory.metadata["agent_id"] == sdk.agent
    assert memory.metadata["scope"] == "team"
    assert memory.expires_at is None


async def test_defaults_are_the_ones_the_sdk_documents(sdk, namespace):
    memory = await sdk.client.get(await stored(sdk, namespace))

    assert memory.tier is Tier.MID
    assert (memory.priority, memory.confidence, memory.source) == (5, 1.0, "api")
    assert memory.access_count == 0
    assert memory.expires_at is not None


async def test_a_time_to_live_sets_the_expiry(sdk, namespace):
    memory = await sdk.client.get(await stored(sdk, namespace, tier="long", ttl_secs=3600))

    assert memory.expires_at is not None
    assert memory.expires_at > memory.created_at


async def test_an_id_in_the_call_is_the_identity_when_the_client_has_none(sdk, namespace):
    if sdk.has_id:
        with pytest.raises(ForbiddenError, match=CLAIM_MISMATCH):
            await stored(sdk, namespace, agent_id=STRANGER)
        assert await stored(sdk, namespace, agent_id=NAMED_AGENT)
        return

    identifier = await stored(sdk, namespace, agent_id=STRANGER)

    with pytest.raises(NotFoundError):  # private to its owner, and the caller is somebody else now
        await sdk.client.get(identifier)
    async with aclosing(sdk.other(STRANGER)) as owner:
        memory = await owner.get(identifier)
    assert memory.metadata["agent_id"] == STRANGER


async def test_the_same_title_twice_is_a_conflict_that_names_the_first(sdk, namespace):
    first = await stored(sdk, namespace)

    with pytest.raises(ConflictError) as refused:
        await stored(sdk, namespace)

    assert refused.value.payload["code"] == "CONFLICT"
    assert refused.value.payload["existing_id"] == first


async def test_bad_input_is_a_validation_error_with_the_rule_in_words(sdk, namespace):
    with pytest.raises(ValidationError, match="title cannot be empty"):
        await stored(sdk, namespace, title="  ", content="something")
    with pytest.raises(ValidationError, match="priority must be between 1 and 10"):
        await stored(sdk, namespace, priority=11)


async def test_bulk_store_takes_models_and_dicts_and_returns_their_ids(sdk, namespace):
    rows = [
        CreateMemory(title="From a model", content="one", namespace=namespace, tier=Tier.LONG),
        {"title": "From a dict", "content": "two", "namespace": namespace, "scope": None},
    ]

    outcome = await sdk.client.bulk_store(rows)

    assert outcome.created == 2
    assert outcome.errors == []
    titles = [(await sdk.client.get(identifier)).title for identifier in outcome.ids]
    assert titles == ["From a model", "From a dict"]


async def test_bulk_store_tells_of_failed_rows_and_keeps_the_others(sdk, namespace):
    rows = [
        {"title": "Good", "content": "one", "namespace": namespace},
        {"title": "", "content": "no title", "namespace": namespace},
    ]

    outcome = await sdk.client.bulk_store(rows)

    assert (outcome.created, len(outcome.ids)) == (1, 1)
    assert outcome.errors[0]["index"] == 1
    assert outcome.errors[0]["error"].startswith("validation failed")


async def test_update_changes_what_is_given_and_nothing_else(sdk, namespace):
    identifier = await stored(sdk, namespace, tags=["kept"])

    by_model = await sdk.client.update(identifier, UpdateMemory(content="second", priority=9))
    by_dict = await sdk.client.update(identifier, {"title": "Coffee", "content": None})

    assert (by_model["id"], by_model["content"], by_model["version"]) == (identifier, "second", 2)
    assert (by_dict["title"], by_dict["content"], by_dict["version"]) == ("Coffee", "second", 3)
    memory = await sdk.client.get(identifier)
    assert (memory.title, memory.content, memory.priority) == ("Coffee", "second", 9)
    assert memory.tags == ["kept"]


async def test_a_deleted_memory_is_not_found_any_more(sdk, namespace):
    identifier = await stored(sdk, namespace)

    reply = await sdk.client.delete(identifier)

    assert reply["deleted"] is True
    for call in (sdk.client.get, sdk.client.delete, sdk.client.promote):
        with pytest.raises(NotFoundError):
            await call(identifier)


async def test_promote_makes_a_memory_permanent(sdk, namespace):
    identifier = await stored(sdk, namespace, tier="short")

    reply = await sdk.client.promote(identifier)

    assert reply == {"promoted": True, "id": identifier, "tier": "long"} | reply
    memory = await sdk.client.get(identifier)
    assert memory.tier is Tier.LONG
    assert memory.expires_at is None


async def test_list_filters_and_pages(sdk, namespace):
    await stored(sdk, namespace, "Low", priority=2, tags=["even"])
    await stored(sdk, namespace, "High", priority=9, tier="long")
    await stored(sdk, namespace, "Middle", priority=5, tags=["odd"])

    async def titles(**filters: Any) -> list[str]:
        return [memory.title for memory in await sdk.client.list(namespace=namespace, **filters)]

    assert await titles() == ["High", "Middle", "Low"]
    assert await titles(limit=1, offset=1) == ["Middle"]
    assert await titles(min_priority=5) == ["High", "Middle"]
    assert await titles(tier="long") == ["High"]
    assert await titles(tags="odd") == ["Middle"]
    assert await titles(since="2099-01-01T00:00:00Z") == []
    assert await titles(until="2099-01-01T00:00:00Z") == ["High", "Middle", "Low"]
    assert await titles(agent_id=sdk.agent) == ["High", "Middle", "Low"]


async def test_search_needs_every_word(sdk, namespace):
    await stored(sdk, namespace, "Green tea", content="brewed at eighty degrees")
    await stored(sdk, namespace, "Black tea", content="brewed at ninety degrees")

    both = await sdk.client.search("tea degrees", namespace=namespace)
    one = await sdk.client.search("tea eighty", namespace=namespace, limit=5, min_priority=1)

    assert {memory.title for memory in both} == {"Green tea", "Black tea"}
    assert [memory.title for memory in one] == ["Green tea"]
    assert await sdk.client.search("tea absent", namespace=namespace) == []


async def test_recall_finds_the_callers_own_memories_best_first(sdk, namespace):
    wanted = await stored(sdk, namespace, "Oolong", content="half oxidised leaves from Fujian")
    await stored(sdk, namespace, "Bicycle", content="the chain needs oil before leaves fall")

    response = await sdk.client.recall("oxidised leaves", namespace=namespace, limit=5)

    assert response.count == len(response.memories) == 2
    assert response.memories[0].id == wanted
    assert response.model_extra["mode"] == "keyword"
    scores = [memory.model_extra["score"] for memory in response.memories]
    assert scores == sorted(scores, reverse=True)


async def test_recall_keeps_within_the_token_budget(sdk, namespace):
    for tree in ("oak", "beech", "maple", "birch", "ash"):
        await stored(sdk, namespace, f"Leaf of {tree}", content=f"{tree} leaves " * 25)

    some = await sdk.client.recall("leaves", namespace=namespace, budget_tokens=120)
    none = await sdk.client.recall("leaves", namespace=namespace, budget_tokens=0)

    assert 1 <= some.count < 5
    assert some.model_extra["meta"]["budget_tokens_used"] <= 120
    assert none.memories == []


async def test_recall_and_search_act_for_the_caller_only(sdk, namespace):
    await stored(sdk, namespace, "Mine", content="a private thought")

    own = await sdk.client.recall("private thought", namespace=namespace, as_agent=sdk.agent)

    assert [memory.title for memory in own.memories] == ["Mine"]
    async with aclosing(sdk.other(STRANGER)) as stranger:
        theirs = await stranger.recall("private thought", namespace=namespace)
        found = await stranger.search("private thought", namespace=namespace)
        listed = await stranger.list(namespace=namespace)
    assert (theirs.memories, found, listed) == ([], [], [])
    if sdk.has_id:
        with pytest.raises(ForbiddenError, match="agent_id_query_header_mismatch"):
            await sdk.client.recall("private thought", as_agent=STRANGER)


async def test_forget_removes_by_namespace_and_by_pattern(sdk, namespace):
    await stored(sdk, namespace, "Keep", content="camomile")
    await stored(sdk, namespace, "Drop", content="nettle")

    by_pattern = await sdk.client.forget(namespace=namespace, pattern="nettle")
    left = [memory.title for memory in await sdk.client.list(namespace=namespace)]
    by_namespace = await sdk.client.forget(namespace=namespace)

    assert by_pattern["deleted"] == 1
    assert left == ["Keep"]
    assert by_namespace["deleted"] == 1
    with pytest.raises(ValidationError):
        await sdk.client.forget()


async def test_links_join_two_memories_in_both_directions(sdk, namespace):
    source, target = await stored(sdk, namespace, "A"), await stored(sdk, namespace, "B")

    reply = await sdk.client.link(source, target, "derived_from")

    assert reply["linked"] is True
    assert (reply["source_id"], reply["target_id"]) == (source, target)
    for end in (source, target):
        (link,) = await sdk.client.get_links(end)
        assert (link["source_id"], link["target_id"]) == (source, target)
        assert link["relation"] == "derived_from"
    memory = await sdk.client.get(source)
    assert [link["target_id"] for link in memory.model_extra["links"]] == [target]
    with pytest.raises(NotFoundError):
        await sdk.client.link(source, str(uuid4()))
    with pytest.raises(ValidationError, match="invalid_relation"):
        await sdk.client.link(source, target, "admires")


async def test_stats_and_namespaces_count_what_is_stored(sdk, namespace):
    await stored(sdk, namespace, "One", tier="long")
    await stored(sdk, namespace, "Two", tier="long")

    stats = await sdk.client.stats()
    namespaces = await sdk.client.namespaces()

    assert stats.total >= 2
    assert {"namespace": namespace, "count": 2} in stats.by_namespace
    assert {"namespace": namespace, "count": 2} in namespaces
    assert {row["tier"] for row in stats.by_tier} <= {"short", "mid", "long"}
    assert stats.db_size_bytes > 0


async def test_gc_says_how_many_it_collected(sdk):
    reply = await sdk.client.gc()

    assert reply["expired_deleted"] >= 0


async def test_an_export_can_be_imported_again(sdk, namespace):
    identifier = await stored(sdk, namespace, "Travels", content="there and back")
    exported = await sdk.client.export()
    rows = [row for row in exported["memories"] if row["namespace"] == namespace]
    await sdk.client.delete(identifier)

    reply = await sdk.client.import_({"memories": rows, "links": []})

    assert (reply["imported"], reply["errors"]) == (1, [])
    (memory,) = await sdk.client.list(namespace=namespace)
    assert (memory.title, memory.content) == ("Travels", "there and back")
    assert memory.metadata["agent_id"] == sdk.agent


async def test_subscriptions_are_made_listed_and_removed(sdk, namespace):
    request = SubscriptionRequest(
        url="http://127.0.0.1:9/hook",
        events=["memory_store", "memory_delete"],
        namespace=namespace,
        secret="a shared secret",
    )

    made = await sdk.client.subscribe(request)
    listed = {row.id: row for row in await sdk.client.subscriptions()}
    removed = await sdk.client.unsubscribe(made.id)
    left = {row.id for row in await sdk.client.subscriptions()}

    assert made.url == listed[made.id].url == "http://127.0.0.1:9/hook"
    assert made.events == listed[made.id].events == ["memory_store", "memory_delete"]
    assert made.namespace == listed[made.id].namespace == namespace
    assert "a shared secret" not in repr(made) + repr(listed)
    assert removed["removed"] is True
    assert made.id not in left


async def test_a_subscription_to_nothing_in_particular_hears_everything(sdk):
    made = await sdk.client.subscribe({"url": "http://127.0.0.1:9/all", "secret": "x" * 16})

    assert made.events == ["*"]
    assert (await sdk.client.unsubscribe(made.id))["removed"] is True


async def test_a_message_reaches_the_inbox_of_its_recipient(sdk):
    recipient = f"ai:reader-{uuid4().hex}"
    for subject in ("Status", "Status"):  # an equal subject must not overwrite the first message
        await sdk.client.notify(NotifyRequest(to=recipient, subject=subject, body=f"{subject}: ok"))

    async with aclosing(sdk.other(recipient)) as reader:
        messages = await reader.inbox()
        unread = await reader.inbox(agent_id=recipient, unread_only=True, limit=1)

    assert [message["from"] for message in messages] == [sdk.agent, sdk.agent]
    assert {message["title"] for message in messages} == {"Status"}
    assert {message["payload"] for message in messages} == {"Status: ok"}
    assert len(unread) == 1
    assert await sdk.client.inbox(limit=1) == []


async def test_agents_register_and_are_listed(sdk):
    agent = f"ai:registered-{uuid4().hex}"

    reply = await sdk.client.register_agent(agent, "ai:generic", ["recall", "store"])
    await sdk.client.register_agent(f"human-{uuid4().hex}", "human")
    rows = {row.agent_id: row for row in await sdk.client.agents()}

    assert reply["registered"] is True
    assert rows[agent].agent_type == "ai:generic"
    assert rows[agent].capabilities == ["recall", "store"]
    assert rows[agent].registered_at <= rows[agent].last_seen_at


async def test_routes_of_later_versions_are_not_found_in_words(sdk, namespace):
    identifier = await stored(sdk, namespace)

    for call in (
        sdk.client.grant(identifier, STRANGER),
        sdk.client.revoke(identifier, STRANGER),
        sdk.client.cluster({"join": "x"}),
    ):
        with pytest.raises(NotFoundError) as refused:
            await call
        assert isinstance(refused.value.payload["error"], str)


async def test_the_core_profile_is_loaded(shared_node, identity):
    # The SDK's own types do not quite fit one another: its clients take fewer keywords.
    blocking: Any = AiMemoryClient(shared_node.url, agent_id=identity)
    asynchronous: Any = AsyncAiMemoryClient(shared_node.url, agent_id=identity)
    with blocking:
        require_profile(blocking, "core")  # a warning would fail the test
    async with asynchronous:
        await require_profile_async(asynchronous, "core")


async def test_administration_is_refused_to_an_agent_that_is_not_on_the_list(sdk):
    async with aclosing(sdk.other(STRANGER)) as stranger:
        calls = (
            stranger.stats(),
            stranger.namespaces(),
            stranger.gc(),
            stranger.export(),
            stranger.import_({"memories": []}),
            stranger.agents(),
            stranger.forget(namespace="sdk/nothing"),
        )
        for call in calls:
            with pytest.raises(ForbiddenError, match="admin role required") as refused:
                await call
            assert "agent_ids" in refused.value.payload["hint"]

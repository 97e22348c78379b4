"""`/subscriptions` over a real store; host names are answered by a table."""

from dataclasses import replace
from hashlib import sha256

import pytest

from app.services.subscriptions import SubscriptionRules, SubscriptionService
from tests.integration.api.conftest import HostTable, RandomIds, SystemRandomness

ANN = {"X-Agent-Id": "ai:ann"}
BOB = {"X-Agent-Id": "ai:bob"}
URL = "https://hooks.example.com/memory"
PATH = "/api/v1/subscriptions"


@pytest.fixture
def rules() -> SubscriptionRules:
    return SubscriptionRules()


@pytest.fixture
async def services(services, store, clock, rules):
    service = SubscriptionService(store, clock, RandomIds(), SystemRandomness(), HostTable(), rules)
    return replace(services, subscriptions=service)


def with_rules(**rules):
    return pytest.mark.parametrize("rules", [SubscriptionRules(**rules)])


async def subscribed(api, headers=ANN, **fields):
    body = {"url": URL, "secret": "a shared secret", **fields}
    reply = await api.post(PATH, json=body, headers=headers)
    assert reply.status_code == 201, reply.text
    return reply.json()


async def listed(api, headers=ANN):
    found = (await api.get(PATH, headers=headers)).json()
    assert found["count"] == len(found["subscriptions"])
    return found["subscriptions"]


async def test_a_webhook_is_recorded_and_listed_with_every_key(api):
    made = await subscribed(
        api,
        events="memory_store,memory_delete",
        namespace_filter="a/b",
        agent_filter="ai:bob",
    )

    (row,) = await listed(api)
    assert made == {
        "id": row["id"],
        "url": URL,
        "events": "memory_store,memory_delete",
        "namespace_filter": "a/b",
        "agent_filter": "ai:bob",
        "created_by": "ai:ann",
        "agent_id": "ai:ann",
        "created_at": row["created_at"],
    }
    assert row == {
        "id": made["id"],
        "url": URL,
        "events": "memory_store,memory_delete",
        "namespace": "a/b",
        "namespace_filter": "a/b",
        "agent_filter": "ai:bob",
        "agent_id": "ai:bob",
        "created_by": "ai:ann",
        "created_at": made["created_at"],
        "last_dispatched_at": None,
        "dispatch_count": 0,
        "failure_count": 0,
    }


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ({"events": "*"}, "*"),
        ({"events": "memory_store, memory_store,memory_delete"}, "memory_store,memory_delete"),
        ({"events": ["memory_store", "memory_delete"]}, ["memory_store", "memory_delete"]),
        ({"events": []}, ["*"]),
        ({}, ["*"]),
        ({"event_types": ["memory_promote"], "events": "memory_store"}, ["memory_promote"]),
    ],
)
async def test_events_come_back_in_the_form_in_which_they_were_sent(api, sent, echoed):
    made = await subscribed(api, **sent)

    (row,) = await listed(api)
    assert made["events"] == row["events"] == echoed


async def test_the_names_of_the_sdks_are_taken(api):
    body = {"callback_url": URL, "events": ["*"], "secret": "s", "namespace": "team/x"}

    made = (await api.post(PATH, json=body, headers=ANN)).json()

    assert made["url"] == URL
    assert made["namespace"] == made["namespace_filter"] == "team/x"
    filtered = await subscribed(api, filter={"namespace": "n", "agent_id": "ai:bob"})
    assert (filtered["namespace_filter"], filtered["agent_filter"]) == ("n", "ai:bob")


async def test_everybody_has_their_own_only(api):
    mine = await subscribed(api)
    theirs = await subscribed(api, BOB)

    assert [row["id"] for row in await listed(api)] == [mine["id"]]
    for reply in (
        await api.delete(f"{PATH}/{theirs['id']}", headers=ANN),
        await api.delete(PATH, params={"id": theirs["id"]}, headers=ANN),
        await api.delete(PATH, params={"id": "unknown"}, headers=ANN),
    ):
        assert (reply.status_code, reply.json()) == (200, {"id": "", "removed": False})
    assert [row["id"] for row in await listed(api, BOB)] == [theirs["id"]]
    foreign = await api.get(PATH, params={"agent_id": "ai:bob"}, headers=ANN)
    assert foreign.status_code == 403
    text = "agent_id query parameter does not match authenticated caller"
    assert foreign.json()["error"] == text


async def test_a_webhook_is_removed_by_path_by_id_and_by_namespace(api):
    ids = [(await subscribed(api, namespace_filter=name))["id"] for name in ("a", "b", "c")]

    replies = [
        await api.delete(f"{PATH}/{ids[0]}", headers=ANN),
        await api.delete(PATH, params={"id": ids[1]}, headers=ANN),
        await api.delete(PATH, params={"namespace": "c"}, headers=ANN),
    ]

    assert [reply.json() for reply in replies] == [{"id": one, "removed": True} for one in ids]
    assert await listed(api) == []
    nothing = await api.delete(PATH, headers=ANN)
    assert nothing.status_code == 400
    assert nothing.json()["error"] == "id or namespace is required"


async def test_a_secret_is_kept_as_its_hash_and_never_shown(api, store):
    made = await subscribed(api)

    found = await store.subscription(made["id"])
    assert found.secret_hash == sha256(b"a shared secret").hexdigest()
    assert "secret" not in made
    assert "secret" not in (await listed(api))[0]


async def test_a_secret_is_made_on_request_and_shown_once(api, store):
    first = await subscribed(api, secret="generate")
    second = await subscribed(api, secret="generate")

    assert len(first["secret"]) == 64
    assert first["secret"] != second["secret"]
    found = await store.subscription(first["id"])
    assert found.secret_hash == sha256(first["secret"].encode()).hexdigest()
    assert all("secret" not in row for row in await listed(api))


async def test_without_any_secret_a_webhook_is_refused_with_a_hint(api):
    reply = await api.post(PATH, json={"url": URL}, headers=ANN)

    assert reply.status_code == 400
    assert reply.json()["fields"] == ["secret"]
    assert "hmac_secret" in reply.json()["hint"]


@with_rules(has_server_secret=True)
async def test_the_operators_secret_is_enough(api):
    reply = await api.post(PATH, json={"url": URL}, headers=ANN)

    assert reply.status_code == 201


async def test_subscribing_registers_nobody(api):
    await subscribed(api)

    assert (await api.get("/api/v1/agents")).json()["count"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example.com/",
        "hooks.example.com",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com:99999/",
        "https:///nothing",
        "https://-bad-.example.com/",
        "https://hooks.example.com\\@10.0.0.1/",
        "https://10.0.0.1/",
        "https://192.168.1.10/",
        "https://172.16.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[2002:a00:1::]/",
        "https://[fd00::1]/",
        "https://[fe80::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[ff02::1]/",
        "https://localhost/",
        "https://inward.example.com/",
        "https://nowhere.example.com/",
        "https://unknown.example.com/",
        "http://hooks.example.com/",
        "http://93.184.215.14/",
    ],
)
async def test_a_url_that_leads_inward_or_nowhere_is_refused(api, url):
    reply = await api.post(PATH, json={"url": url, "secret": "s"}, headers=ANN)

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("webhook url refused: ")
    assert reply.json()["fields"] == ["url"]
    assert await listed(api) == []


@with_rules(allow_loopback=True)
@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1:9/hook", 201),
        ("http://localhost:9/hook", 201),
        ("https://[::1]/hook", 201),
        ("http://hooks.example.com/", 400),
        ("https://10.0.0.1/", 400),
    ],
)
async def test_loopback_is_open_when_the_operator_says_so_and_nothing_else(api, url, status):
    reply = await api.post(PATH, json={"url": url, "secret": "s"}, headers=ANN)

    assert reply.status_code == status, reply.text


@with_rules(allow_loopback=True)
async def test_a_namespace_alone_gets_a_url_of_this_machine(api):
    body = {"namespace": "team/x", "secret": "s"}

    reply = await api.post(PATH, json=body, headers=ANN)

    assert reply.status_code == 201
    assert reply.json()["url"] == "http://localhost/_ns/ai:ann/team/x"
    assert reply.json()["namespace"] == "team/x"


@with_rules(allow_resolution_failure=True)
async def test_a_name_that_is_not_known_now_passes_when_the_operator_says_so(api):
    body = {"url": "https://unknown.example.com/", "secret": "s"}

    assert (await api.post(PATH, json=body, headers=ANN)).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"secret": "s"}, 400, "url or namespace is required"),
        ({"namespace": "x", "secret": "s"}, 400, "webhook url refused: loopback"),
        ({"url": URL, "secret": "s", "events": "memory_sold"}, 400, "unknown event type"),
        ({"url": URL, "secret": "s", "events": ["memory_sold"]}, 400, "unknown event type"),
        ({"url": URL, "secret": "s", "namespace_filter": "/a"}, 400, "namespace_filter cannot"),
        ({"url": URL, "secret": "s", "agent_filter": "a b"}, 400, "invalid agent_id"),
        ({"url": URL, "secret": "s", "events": 5}, 422, "invalid request body: events"),
        (
            {"url": URL, "secret": "s", "agent_id": "ai:bob"},
            403,
            "agent_id body parameter does not match authenticated caller",
        ),
    ],
)
async def test_bad_subscriptions_are_refused_in_words(api, body, status, error):
    reply = await api.post(PATH, json=body, headers=ANN)

    assert reply.status_code == status
    assert reply.json()["error"].startswith(error)

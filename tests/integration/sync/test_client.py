"""A client of v0.7.0 nodes: what it sends, what it believes, how it pages."""

import base64
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.domain.timestamps import format_instant
from app.replication.ports import Failure, PeerCallError
from app.replication.v070.client import V070Client, V070Credentials
from app.replication.v070.outgoing import Item
from app.replication.v070.pulling import Puller
from app.replication.v070.sending import Sender
from app.replication.v070.signing import pull_text, signed_bytes
from tests.integration.sync.old_node import OldNode
from tests.integration.sync.test_beside_an_old_node import at, row


class Ids:
    def uuid4(self):
        return str(uuid.uuid4())


@pytest.fixture
def old():
    with OldNode().serving() as running:
        yield running


@pytest.fixture
async def http():
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
def client(old, http):
    return V070Client(http, old.url, V070Credentials("host:new", Ids()), 5.0)


def items(*rows, name="memories"):
    return [Item(name, one["id"], msgspec.json.encode(one)) for one in rows]


def ids(*names, name):
    return [Item(name, one, msgspec.json.encode(one)) for one in names]


# -- sending ---------------------------------------------------------------------------------


async def test_one_push_carries_what_fits(old, client):
    sender = Sender(client, "host:new")
    rows = [row(number, at(number)) for number in range(300)]
    assert await sender.send([*items(*rows), *ids("gone", name="deletions")]) == {}
    assert len(old.rows) == 300
    assert sender.pushes == 1
    assert old.pushes[0]["sender_agent_id"] == "host:new"
    assert old.pushes[0]["dry_run"] is False


async def test_what_it_skips_is_found_among_the_rest(old, client):
    """W14: its answer says how many, not which."""
    sender = Sender(client, "host:new")
    rows = [row(number, at(number)) for number in range(100)]
    for place in (17, 18, 93):
        rows[place]["title"] = ""
    refused = await sender.send(items(*rows))
    assert dict(refused) == {17: "skipped", 18: "skipped", 93: "skipped"}
    assert len(old.rows) == 97
    assert sender.pushes < 45


async def test_a_rename_is_refused_by_it_for_ever(old, client):
    """W8: it keeps the old name, and its 200 is no acknowledgement."""
    sender = Sender(client, "host:new")
    await sender.send(items(row(1, at(1))))
    refused = await sender.send(items(row(1, at(2), title="Renamed")))
    assert dict(refused) == {0: "skipped"}


async def test_bodies_stay_below_what_its_router_takes(old, client):
    """W19."""
    sender = Sender(client, "host:new")
    rows = [row(number, at(number), content="x" * 60_000) for number in range(100)]
    assert await sender.send(items(*rows)) == {}
    assert len(old.rows) == 100
    assert sender.pushes == 4
    refused = await sender.send(items(row("huge", at(1), content="x" * 3_000_000)))
    assert dict(refused) == {0: "too_large"}


async def test_a_smaller_limit_is_found_by_halves(old, client, monkeypatch):
    monkeypatch.setattr("tests.integration.sync.old_node.BODY_BYTES_MAX", 30_000)
    sender = Sender(client, "host:new")
    rows = [row(number, at(number)) for number in range(200)]
    assert await sender.send(items(*rows)) == {}
    assert len(old.rows) == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"dry_run": True}, "dry_run"),
        ({"ids": ["another"]}, "id_drift"),
        ({"storage_backend": "postgres"}, None),
    ],
)
async def test_an_answer_that_says_otherwise_is_no_ack(old, client, monkeypatch, change, code):
    real = old.push
    monkeypatch.setattr(old, "push", lambda body: real(body) | change)
    refused = await Sender(client, "host:new").send(items(row(1, at(1))))
    assert dict(refused) == ({} if code is None else {0: code})


async def test_what_it_drops_on_postgresql_is_no_ack(old, client):
    old.postgres = True
    sender = Sender(client, "host:new")
    refused = await sender.send([*items(row(1, at(1))), *ids("a", name="archives")])
    assert dict(refused) == {1: "unsupported_on_postgres"}


async def test_its_quota_is_waited_for(old, client, monkeypatch):
    real = old.push
    monkeypatch.setattr(old, "push", lambda body: real(body) | {"quota_refused": 1})
    with pytest.raises(PeerCallError) as caught:
        await Sender(client, "host:new").send(items(row(1, at(1))))
    assert caught.value.failure is Failure.THROTTLED


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (401, Failure.REFUSED),
        (403, Failure.REFUSED),
        (404, Failure.INCOMPATIBLE),
        (429, Failure.THROTTLED),
        (500, Failure.UNREACHABLE),
        (503, Failure.UNREACHABLE),
    ],
)
async def test_refusals_have_classes(old, client, status, failure):
    old.refuse = lambda _method, _path: status
    for call in (Sender(client, "host:new").send(items(row(1, at(1)))), client.since(None, 1)):
        with pytest.raises(PeerCallError) as caught:
            await call
        assert (caught.value.failure, caught.value.status) == (failure, status)


async def test_nobody_there(http):
    client = V070Client(http, "http://127.0.0.1:9", V070Credentials("host:new", Ids()), 5.0)
    with pytest.raises(PeerCallError) as caught:
        await client.since(None, 1)
    assert caught.value.failure is Failure.UNREACHABLE


async def test_requests_are_signed(old, http):
    key = Ed25519PrivateKey.generate()
    credentials = V070Credentials("host:new", Ids(), key, "secret-key", lambda: {"x-more": "1"})
    client = V070Client(http, old.url, credentials, 5.0)
    await Sender(client, "host:new").send(items(row(1, at(1))))
    await client.since("2026-06-01T00:00:00+00:00", 5)
    (_, _, push), (_, target, pull) = old.requests
    path, _, query = target.partition("?")
    texts = {"push": None, "pull": pull_text("GET", path, query)}
    public = key.public_key()
    nonces = set()
    for headers, text in ((push, texts["push"]), (pull, texts["pull"])):
        assert headers["x-peer-id"] == "host:new"
        assert headers["x-api-key"] == "secret-key"
        assert headers["x-more"] == "1"
        nonces.add(headers["x-memory-nonce"])
        signature = base64.b64decode(headers["x-memory-sig"].removeprefix("ed25519="))
        if text is not None:
            public.verify(signature, signed_bytes(text, headers["x-memory-nonce"]))
    assert len(nonces) == 2


# -- pulling ---------------------------------------------------------------------------------


class Here:
    """What a pull leaves here."""

    def __init__(self):
        self.cursor = None
        self.taken: Counter[str] = Counter()
        self.fail_at = None

    async def pulled_to(self):
        return self.cursor

    async def take(self, rows, pulled_to):
        if self.fail_at is not None and any(one["id"] == self.fail_at for one in rows):
            raise OSError("the disk is busy")
        self.taken.update(one["id"] for one in rows)
        self.cursor = pulled_to or self.cursor
        return len(rows)


def now():
    return format_instant(datetime.now(UTC))


def fill(old, rows):
    old.rows.update((one["id"], one) for one in rows)


async def test_pages_end_between_times(old, client):
    """W1."""
    fill(old, [row(number, at(number // 7)) for number in range(100)])
    here = Here()
    await Puller(client, here, now, 10).pull()
    assert set(here.taken) == set(old.rows)
    assert here.cursor == at(99 // 7)
    fill(old, [row("new", at(99 // 7 + 1))])
    before = here.taken.copy()
    await Puller(client, here, now, 10).pull()
    assert here.taken - before == Counter({"old-new": 1})


async def test_a_page_of_one_time_is_asked_for_again_larger(old, client):
    fill(old, [row(number, at(1)) for number in range(90)])
    fill(old, [row(f"later {number}", at(2)) for number in range(5)])
    here = Here()
    await Puller(client, here, now, 10).pull()
    assert set(here.taken) == set(old.rows)


async def test_a_cursor_moves_only_with_its_rows(old, client):
    """W3."""
    fill(old, [row(number, at(number)) for number in range(30)])
    here = Here()
    here.fail_at = "old-25"
    with pytest.raises(OSError, match="busy"):
        await Puller(client, here, now, 10).pull()
    assert here.cursor < at(25)
    here.fail_at = None
    await Puller(client, here, now, 10).pull()
    assert set(here.taken) == set(old.rows)


async def test_the_future_is_no_cursor(old, client):
    """W4: not ten years ahead, and not the tolerated minute either."""
    far = (datetime.now(UTC) + timedelta(days=3650)).isoformat()
    near = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
    fill(old, [row("far", far), row("near", near), row(1, at(1))])
    here = Here()
    puller = Puller(client, here, now, 10)
    await puller.pull()
    assert set(here.taken) == {"old-1", "old-near"}
    assert here.cursor == at(1)
    fill(old, [row(2, (datetime.now(UTC) - timedelta(seconds=1)).isoformat())])
    await puller.pull()
    assert set(here.taken) == {"old-1", "old-2", "old-near"}


async def test_what_came_to_it_late_is_found_by_looking_at_everything(old, client):
    """W2: another node's row, dated before what was pulled already."""
    fill(old, [row(1, at(100))])
    here = Here()
    puller = Puller(client, here, now, 10)
    await puller.pull()
    fill(old, [row("late", at(50))])
    await puller.pull()
    assert "old-late" not in here.taken
    await puller.pull(everything=True)
    assert "old-late" in here.taken
    assert here.cursor == at(100)


async def test_a_page_that_is_too_large_is_asked_for_smaller(old, client, monkeypatch):
    monkeypatch.setattr("app.replication.v070.client.ANSWER_BYTES_MAX", 100_000)
    fill(old, [row(number, at(number), content="x" * 20_000) for number in range(20)])
    here = Here()
    await Puller(client, here, now, 500).pull()
    assert set(here.taken) == set(old.rows)


@pytest.mark.parametrize("answer", [{}, {"memories": 5}, {"memories": None}])
async def test_garbage_is_no_page(old, client, monkeypatch, answer):
    monkeypatch.setattr(old, "since", lambda _since, _limit: answer)
    with pytest.raises(PeerCallError) as caught:
        await Puller(client, Here(), now).pull()
    assert caught.value.failure is Failure.INCOMPATIBLE

"""A node of this release and one of v0.7.0 in one mesh."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.sync.conftest import until
from tests.integration.sync.old_node import OldNode

SHARED = {"agent_id": "ai:ann", "scope": "collective"}


BASE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


def at(second, microsecond=0):
    """A time of today's past, as v0.7.0 writes it."""
    return (BASE + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S") + (
        f".{microsecond:06}123+00:00"
    )


def row(name, time, **fields):
    return {
        "id": f"old-{name}".replace(" ", "-"),
        "tier": "long",
        "namespace": "work",
        "title": f"Old {name}",
        "content": f"old text {name}",
        "tags": [],
        "priority": 5,
        "confidence": 1.0,
        "source": "api",
        "access_count": 0,
        "created_at": time,
        "updated_at": time,
        "metadata": SHARED,
        **fields,
    }


@pytest.fixture
def ours(pair):
    return pair.ours


@pytest.fixture
def old(pair):
    return pair.old


def test_every_kind_of_write_arrives(ours, old):
    one, two = ours.store("One"), ours.store("Two")
    until(lambda: {one["id"], two["id"]} <= set(old.rows))
    assert old.rows[one["id"]]["content"] == "text of One"
    ours.ask("PUT", f"/memories/{one['id']}", json={"content": "edited", "tags": ["new"]})
    until(lambda: old.rows[one["id"]]["content"] == "edited")
    assert old.rows[one["id"]]["tags"] == ["new"]
    ends = {"source_id": one["id"], "target_id": two["id"], "relation": "derived_from"}
    ours.ask("POST", "/links", json=ends)
    until(lambda: old.links)
    standard = {"id": two["id"], "namespace": "work", "governance": {"write": "any"}}
    ours.ask("POST", "/namespaces/work/standard", json=standard)
    until(lambda: "work" in old.standards)
    assert "governance" in old.rows[two["id"]]["metadata"]
    ours.ask("DELETE", "/namespaces/work/standard")
    until(lambda: "work" not in old.standards)
    ours.ask("POST", "/archive", json={"ids": [one["id"]]})
    until(lambda: one["id"] in old.archive)
    ours.ask("POST", f"/archive/{one['id']}/restore")
    until(lambda: one["id"] in old.rows and one["id"] not in old.archive)
    ours.ask("DELETE", f"/memories/{two['id']}")
    until(lambda: two["id"] not in old.rows)
    ours.ask("POST", "/agents", json={"agent_id": "ai:bob", "agent_type": "ai:test"})
    until(lambda: any(one["namespace"] == "_agents" for one in old.rows.values()))


def test_its_copies_count_for_quorums(ours, old):
    made = ours.store("Counted")
    assert made["id"] in old.rows


def test_what_it_skips_is_no_copy(ours, old, monkeypatch):
    """W14: v0.7.0 answers 200 and has nothing."""
    real = old.insert_if_newer
    monkeypatch.setattr(old, "insert_if_newer", lambda row: row["title"] != "Refused" and real(row))
    body = {"title": "Refused", "content": "c", "namespace": "work"}
    answer = ours.ask("POST", "/memories", expected=(503,), json=body)
    assert answer["error"] == "quorum_not_met"
    # Beside others it stops nobody.
    made = [ours.store(f"Taken {number}")["id"] for number in range(3)]
    assert set(made) <= set(old.rows)


def test_rows_of_both_sides_meet_and_settle(pair, ours, old):
    """Pushes, pulls and echoes both ways end with equal rows and silence."""
    node = pair.node
    for number in range(5):
        ours.store(f"Ours {number}")
        sent = row(number, at(number))
        old.insert_if_newer(sent)
        old.tell(node.url, sent)
    wanted = {f"{whose} {number}" for whose in ("Ours", "Old") for number in range(5)}
    until(lambda: wanted <= {one["title"] for one in old.rows.values()} & ours.titles())
    edited = {**old.rows["old-3"], "content": "edited there", "updated_at": at(100)}
    old.rows["old-3"] = edited
    old.tell(node.url, edited)
    found = ours.ask("GET", "/memories/old-3", headers={"X-Agent-Id": "ai:ann"})
    assert found["memory"]["content"] == "edited there"
    until(lambda: not is_busy(old))


def is_busy(old):
    """Whether anything was pushed within the time of two pulls."""
    seen = len(old.pushes)
    pulls = sum(method == "GET" for method, _, _ in old.requests)
    until(lambda: sum(method == "GET" for method, _, _ in old.requests) >= pulls + 2)
    return len(old.pushes) != seen


def test_what_it_did_before_we_met_is_pulled(make_pair):
    """W1: 1,200 rows of one time, more than two pages; W34: though it pushed first.

    W3 and W4: among them one that cannot be stored, and one of ten years ahead.
    """
    old, same = OldNode(), at(10)
    rows = [row(number, same) for number in range(1_200)]
    for one in (row("first", at(1)), *rows, row("last", at(20))):
        old.rows[one["id"]] = one
    old.rows["bad"] = row("bad", at(2), title="x" * 600)
    ahead = (datetime.now(UTC) + timedelta(days=3650)).isoformat()
    old.rows["ahead"] = row("ahead", ahead)
    pair = make_pair(old)
    old.tell(pair.node.url, old.rows["old-last"])
    until(lambda: pair.ours.total() == 1_202)
    for number in range(100):
        old.rows[f"more-{number}"] = row(f"more {number}", at(100 + number))
    until(lambda: pair.ours.total() == 1_302)
    status = pair.ours.ask("GET", "/federation/status")
    assert status["quarantined"] >= 1


def test_a_restart_goes_on_where_it_was(make_pair):
    pair = make_pair(OldNode())
    node, old, ours = pair.node, pair.old, pair.ours
    first = [ours.store(f"Before {number}")["id"] for number in range(20)]
    until(lambda: set(first) <= set(old.rows))
    old.rows["old-1"] = row(1, at(1))
    until(lambda: "Old 1" in ours.titles())
    node.stop()
    pushed, asked = len(old.pushes), len(old.requests)
    node.start()
    second = ours.store("After")["id"]
    until(lambda: second in old.rows)
    moment = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    old.rows["old-2"] = row(2, moment)  # later than our rows, which it has: its cursor is a time
    until(lambda: "Old 2" in ours.titles())
    sent = [one["id"] for push in old.pushes[pushed:] for one in push["memories"]]
    # All that may come again are entries of the last millisecond.
    assert len(sent) <= 4, sent
    pulls = [path for method, path, _ in old.requests[asked:] if method == "GET"]
    assert all("since=" in path for path in pulls)


def test_it_learns_of_deletions_when_it_comes_back(make_pair):
    """W6 and W18: while it was away rows came and went, and it missed every push."""
    pair = make_pair(OldNode())
    old, ours = pair.old, pair.ours
    kept, gone = ours.store("Kept"), ours.store("Gone")
    until(lambda: {kept["id"], gone["id"]} <= set(old.rows))
    old.refuse = lambda method, path: 503
    ours.ask("DELETE", f"/memories/{gone['id']}")
    made = [ours.store(f"While away {number}")["id"] for number in range(30)]
    # It edits its copy of what it does not know to be deleted.
    old.rows[gone["id"]] |= {"content": "edited there", "updated_at": at(3600)}
    old.refuse = lambda method, path: None
    until(lambda: set(made) <= set(old.rows))
    until(lambda: gone["id"] not in old.rows)
    assert "Gone" not in ours.titles()


def test_large_rows_travel_both_ways(pair, ours, old):
    """W19: its router takes 2 MiB, and 60 rows of 60 KiB are more."""
    made = [ours.store(f"Large {number}", content="x" * 60_000)["id"] for number in range(60)]
    until(lambda: set(made) <= set(old.rows))
    sent = [row(f"large {number}", at(number), content="y" * 60_000) for number in range(60)]
    assert old.tell(pair.node.url, *sent)["applied"] == 60


def test_its_own_catch_up_gets_everything_from_us(pair):
    """It pulls by text and page: rows of one time come to it whole, too."""
    other, same = OldNode("host:third-node"), at(5)
    url = pair.node.url
    other.tell(url, *[row(f"tie {number}", same) for number in range(700)])
    cursor, before = "", None
    while cursor != before:
        cursor, before = other.pull(url, cursor), cursor
    assert {one["title"] for one in other.rows.values()} >= {f"Old tie {n}" for n in range(700)}


def test_it_is_told_who_pushes(ours, old):
    made = ours.store("Signed by nobody")
    posts = [headers for method, path, headers in old.requests if path.endswith("/sync/push")]
    bodies = zip(posts, old.pushes, strict=True)
    headers, body = next(
        (headers, body)
        for headers, body in bodies
        if made["id"] in [one["id"] for one in body["memories"]]
    )
    assert body["sender_agent_id"] == headers["x-peer-id"] == "host:new-node"
    assert headers["idempotency-key"] == body["memories"][0]["id"]
    assert "x-memory-sig" not in headers

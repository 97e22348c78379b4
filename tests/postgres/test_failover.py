"""A primary that dies while a node writes: nothing acknowledged is lost, nothing is there twice."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from app.domain.errors import OutcomeUnknownError, StoreReadOnlyError, StoreUnavailableError
from app.log.epochs import EpochReason
from app.store.postgres.adapter import PostgresStore
from app.store.sql.filters import MemoryFilter
from tests.contract.store.conftest import START, Put, memory
from tests.postgres.cutting import CuttingProxy
from tests.postgres.fixtures import Ask
from tests.postgres.nodes import Nodes, is_sound, put, start_over
from tests.postgres.pairs import PATIENCE_SECONDS, Pair, await_true, one
from tests.postgres.serving import MakeServing

EVERYTHING = MemoryFilter(now=START.isoformat())
WRITERS = 8


async def all_closed(nodes: Nodes) -> None:
    for node in list(nodes.running):
        await nodes.stop(node)


# --- over HTTP, under load ---------------------------------------------------------------------


@dataclass
class Account:
    """What clients were told of each title."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    stored: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    reads: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def write(self, name: str) -> None:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            number = 0
            while not self.stop.is_set():
                number += 1
                title = f"{name}-{number}"
                body = {"title": title, "content": f"content of {title}"}
                reply = client.post("/api/v1/memories", json=body)
                self._note(title, reply)
                if reply.status_code != 201:
                    time.sleep(0.05)

    def read(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            while not self.stop.is_set():
                reply = client.get("/api/v1/recall", params={"context": "content"})
                self.reads[reply.status_code] += 1
                if reply.status_code != 200:
                    self._check(reply)
                time.sleep(0.05)

    def _note(self, title: str, reply: httpx.Response) -> None:
        if reply.status_code == 201:
            self.stored.add(title)
            return
        self._check(reply)
        is_unknown = reply.json().get("code") == "OUTCOME_UNKNOWN"
        (self.unknown if is_unknown else self.refused).add(title)

    def _check(self, reply: httpx.Response) -> None:
        body = reply.json()
        said = reply.status_code == 503 and body.get("error") and body.get("retry_after", 0) >= 1
        if not said or reply.headers.get("Retry-After") != str(body["retry_after"]):
            self.wrong.append(f"{reply.status_code} {reply.text}")


def test_a_primary_that_dies_under_load_costs_no_acknowledged_write(
    synchronous_pair: Pair, make_serving: MakeServing, ask: Ask
):
    pair = synchronous_pair
    node = make_serving(pair.url).start()
    account = Account(node.url)
    threads = [threading.Thread(target=account.write, args=(f"w{n}",)) for n in range(WRITERS)]
    threads.append(threading.Thread(target=account.read))
    for thread in threads:
        thread.start()
    try:
        await_true(lambda: len(account.stored) > 100, "writes before")
        pair.primary.halt()
        await_true(lambda: len(account.refused) > 20 and account.reads[503] > 0, "refusals")
        before, reads = len(account.stored), account.reads[200]
        begun = time.monotonic()
        pair.standby.promote()
        await_true(lambda: len(account.stored) > before + 100, "writes after")
        await_true(lambda: account.reads[200] > reads + 5, "reads after")
        assert time.monotonic() - begun < 10
    finally:
        account.stop.set()
        for thread in threads:
            thread.join()
    assert account.wrong == []
    url = pair.standby.url()
    there = {title for (title,) in ask(url, "SELECT title FROM memories")}
    assert account.stored - there == set()
    assert account.refused & there == set()
    assert there <= account.stored | account.unknown
    logs = ask(
        url,
        "SELECT o.origin, o.head_seq, count(*), max(e.seq) FROM log_origins AS o"
        " JOIN log_entries AS e USING (origin_no) GROUP BY 1, 2 ORDER BY 1",
    )
    assert len(logs) == 2  # one origin, in two epochs
    assert all(head == count == last for _, head, count, last in logs)
    assert node.stop() == 0


# --- what a node knows of itself ---------------------------------------------------------------


async def test_a_promotion_that_lost_nothing_still_starts_an_epoch(pair: Pair, tmp_path: Path):
    """Nobody can know that: the answer to the last commit may have been lost with the primary."""
    nodes = Nodes(pair.url)
    node = nodes.start(tmp_path / "node")
    await put(node, "m1", "m2")
    before = node.identity
    pair.wait_for_replay()
    pair.fail_over()
    receipt = await start_over(node, "m3")
    assert node.identity.reason is EpochReason.DATABASE_CHANGED
    assert (receipt.origin, receipt.seq) == (f"{before.node_id}.{before.epoch + 1}", 1)
    assert await is_sound(node)
    # At rest, the same server: the epoch stays, also over a restart.
    pair.standby.execute("CHECKPOINT")
    await all_closed(nodes)
    again = nodes.start(tmp_path / "node")
    assert again.identity.origin == receipt.origin
    await all_closed(nodes)


async def test_entries_that_a_promotion_lost_are_never_numbered_again(pair: Pair, tmp_path: Path):
    nodes = Nodes(pair.url)
    node = nodes.start(tmp_path / "node")
    await put(node, "m1")
    pair.wait_for_replay()
    pair.cut()
    await put(node, "m2", "m3")
    lost = await node.log_after(node.identity.origin, 0, 10)
    assert len(lost) == 3
    pair.fail_over()
    assert await node_answers(node)
    assert await node.get("m2", EVERYTHING) is None
    receipt = await start_over(node, "m4")
    assert receipt.origin != lost[0].origin
    assert [one.hash for one in await node.log_after(lost[0].origin, 0, 10)] == [lost[0].hash]
    # A peer that had them gives them back, as anybody's.
    outcome = await node.append_foreign(lost)
    assert (outcome.applied, outcome.refused) == (2, [])
    assert await node.get("m2", EVERYTHING) is not None
    assert await is_sound(node)
    await all_closed(nodes)


async def node_answers(node: PostgresStore) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await node.check()
        except StoreUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return True


async def test_a_node_whose_only_server_is_a_standby_says_so_until_it_is_promoted(
    pair: Pair, make_serving: MakeServing, ask: Ask
):
    """What happens to a primary that comes back as a standby, and is promoted again."""
    alone = pair.standby.url()
    refused = make_serving(alone)
    refused.launch()
    assert refused.wait(PATIENCE_SECONDS) == 73
    assert "takes writes: it is a standby" in refused.log

    cluster = pair.primary
    nodes = Nodes(cluster.url())
    node = nodes.start()
    await put(node, "m1")
    cluster.halt()
    signal = cluster.data / "standby.signal"
    signal.touch()
    cluster.start()
    with pytest.raises(StoreReadOnlyError, match="it is a standby"):
        await node.submit(Put(memory("m2")))
    with pytest.raises(StoreReadOnlyError, match="it is a standby"):
        await node.check()
    cluster.promote()
    await start_over(node, "m3")
    assert await node_answers(node)
    assert await node.get("m2", EVERYTHING) is None
    assert await is_sound(node)
    await all_closed(nodes)


# --- commits whose answer is lost --------------------------------------------------------------


@pytest.fixture
def proxy(postgres_database: str) -> Iterator[CuttingProxy]:
    with closing(CuttingProxy(postgres_database)) as made:
        yield made


@pytest.mark.parametrize("reaches", [True, False])
async def test_a_commit_whose_answer_is_lost_is_answered_as_unknown(
    proxy: CuttingProxy, postgres_database: str, ask: Ask, reaches: bool
):
    nodes = Nodes(proxy.url)
    node = nodes.start()
    await put(node, "m1")
    proxy.cut_at_commit(reaches=reaches)
    with pytest.raises(OutcomeUnknownError, match="not known") as caught:
        await node.submit(Put(memory("m2")))
    assert caught.value.details["retry_after_seconds"] == 5
    there = ask(postgres_database, "SELECT count(*) FROM memories WHERE id = 'm2'")
    assert there == [(1 if reaches else 0,)]
    # The log goes on where it ends now, not where the node took it to end.
    receipt = await node.submit(Put(memory("m3")))
    assert (receipt.origin, receipt.seq) == (node.identity.origin, 3 if reaches else 2)
    assert await is_sound(node)
    await all_closed(nodes)


async def test_a_commit_that_a_standby_need_not_have_is_not_acknowledged(
    synchronous_pair: Pair, ask: Ask
):
    """Who cancels the wait for a standby gets a commit that a promotion would lose."""
    pair = synchronous_pair
    nodes = Nodes(pair.url)
    node = nodes.start()
    await put(node, "m1")
    pair.standby.halt()
    writing = asyncio.create_task(node.submit(Put(memory("m2"))))
    waiting = (
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event='SyncRep'"
    )
    await asyncio.to_thread(await_true, lambda: one(pair.primary, waiting) == 1, "the commit")
    with pytest.raises(OutcomeUnknownError):
        await writing
    pair.primary.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
    pair.primary.execute("SELECT pg_reload_conf()")
    assert (await node.submit(Put(memory("m3")))).seq == 3
    await all_closed(nodes)

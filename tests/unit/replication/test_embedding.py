"""A text is embedded once in the fleet: by its author, or by one node in its stead."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from app.log.epochs import parse_origin
from app.recall.embedding.protocol import EmbeddingError, Vector
from app.recall.embedding.worker import EmbeddingWorker
from app.replication.embedding import Duties, taker_of
from app.replication.messages import Method
from app.replication.vectors import LOOK_SECONDS, OVERDUE_SECONDS
from app.services.reembed import StoreBacklog
from tests.contract.store.conftest import MODEL
from tests.unit.replication.cluster import Cluster, Node, settle
from tests.unit.replication.virtual_time import virtual

OTHER_MODEL = "other-model:4"
NODES = st.frozensets(st.binary(min_size=8, max_size=8).map(bytes.hex), min_size=1, max_size=9)
SILENCE = 60.0


class Inline(Executor):
    """Work is done where it is given, so that a run repeats itself."""

    @override
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Counting:
    """An embedder that notes what it was asked."""

    dim = 4

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.texts: list[str] = []
        self.is_down = False

    def embed_document(self, text: str) -> Vector:
        if self.is_down:
            raise EmbeddingError("down")
        self.texts.append(text)
        return np.array([1, len(text), 2, 3], dtype=np.float32)

    def embed_query(self, text: str) -> Vector:
        return self.embed_document(text)

    def close(self) -> None: ...


class Embedding:
    """A node's worker, run as a node runs it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.embedder = Counting(node.model or "")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        node, embedder = self.node, self.embedder
        backlog = StoreBacklog(node.store, embedder.fingerprint, node.clock)
        worker = EmbeddingWorker(
            embedder=embedder,
            source=backlog,
            sink=backlog,
            clock=node.clock,
            executor=Inline(),
        )
        backlog.duties = node.running.duties.now
        node.running.duties.changed = worker.notify
        node.store.watch_backlog(worker.notify)
        self._task = asyncio.create_task(worker.run())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def embedding(*nodes: Node) -> list[Embedding]:
    found = [Embedding(node) for node in nodes]
    for one in found:
        one.start()
    return found


async def lacking(*nodes: Node) -> list[int]:
    """How many texts have no vector of the node's own model, on each."""
    return [len(await one.store.unembedded(one.model or "", 10_000)) for one in nodes]


def times(*workers: Embedding) -> Counter[int]:
    """How often a text was embedded → how many texts were that often."""
    texts = Counter(text for one in workers for text in one.embedder.texts)
    return Counter(texts.values())


@given(NODES, st.text(max_size=40))
def test_a_text_falls_to_one_node_whoever_asks(nodes: frozenset[str], memory_id: str):
    takers = [
        node for node in nodes if Duties(node, frozenset(), nodes)(memory_id, "00112233445566aa.1")
    ]
    assert takers == [taker_of(memory_id, sorted(nodes, reverse=True))]


@given(NODES, st.data(), st.text(max_size=40))
def test_who_does_not_see_everybody_leaves_no_text_to_nobody(
    nodes: frozenset[str], data: st.DataObject, memory_id: str
):
    views = {
        node: data.draw(st.frozensets(st.sampled_from(sorted(nodes)))) | {node} for node in nodes
    }
    assert any(
        Duties(node, frozenset(), view)(memory_id, "v070:elsewhere") for node, view in views.items()
    )


@given(NODES, st.text(max_size=40), st.data())
def test_an_author_at_work_is_left_alone(
    nodes: frozenset[str], memory_id: str, data: st.DataObject
):
    author = data.draw(st.sampled_from(sorted(nodes)))
    origin = f"{author}.3"
    assert parse_origin(origin) is not None
    chosen = [node for node in nodes if Duties(node, nodes - {node}, nodes)(memory_id, origin)]
    assert chosen == [author]


def test_texts_of_a_lost_node_are_shared_evenly():
    nodes = [f"{number:016x}" for number in range(4)]
    shares = Counter(taker_of(f"m{number}", nodes) for number in range(4_000))
    assert all(850 < shares[node] < 1_150 for node in nodes)


@virtual
async def test_each_text_is_embedded_once_and_found_everywhere(cluster: Cluster):
    nodes = await cluster.full("abc")
    workers = embedding(*nodes)
    for node in nodes:
        await node.write_many(30)
    await settle(5)
    await cluster.converge()
    assert times(*workers) == {1: 90}
    assert [len(one.embedder.texts) for one in workers] == [30, 30, 30]
    assert await lacking(*nodes) == [0, 0, 0]
    assert {len(await node.store.vectors_of(["a-1", "b-1", "c-1"])) for node in nodes} == {3}


@virtual
async def test_others_take_over_from_a_node_that_ended_before_it_embedded(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    workers = embedding(a, b)
    await c.write_many(40)
    await cluster.converge()
    await c.kill()
    await settle(SILENCE / 2)
    assert times(*workers) == {}
    await settle(2 * SILENCE)
    assert times(*workers) == {1: 40}
    assert all(one.embedder.texts for one in workers)
    assert await lacking(a, b) == [0, 0]
    await c.start()
    workers += embedding(c)
    await settle(SILENCE)
    assert times(*workers) == {1: 40}
    assert await lacking(a, b, c) == [0, 0, 0]
    await c.write()
    await settle(5)
    assert workers[2].embedder.texts == ["title of c-41 content of c-41"]


@virtual
async def test_nobody_takes_over_from_a_node_that_is_slow(cluster: Cluster):
    a, b = await cluster.full("ab")
    workers = embedding(a, b)
    workers[0].embedder.is_down = True
    await a.write_many(5)
    await settle(4 * SILENCE)
    assert times(*workers) == {}
    workers[0].embedder.is_down = False
    await settle(2 * SILENCE)
    assert times(*workers) == {1: 5}
    assert await lacking(a, b) == [0, 0]


@virtual
async def test_a_text_that_its_author_never_embeds_is_embedded_at_last(cluster: Cluster):
    a, b = await cluster.full("ab")
    workers = embedding(a, b)
    workers[0].embedder.is_down = True
    await a.write_many(5)
    await settle(OVERDUE_SECONDS + 3 * LOOK_SECONDS)
    assert len(workers[1].embedder.texts) == 5
    assert await lacking(a, b) == [0, 0]


@virtual
async def test_a_node_of_another_model_embeds_for_itself(cluster: Cluster):
    a, b = (cluster.add(name, [other]) for name, other in ("ab", "ba"))
    b.model = OTHER_MODEL
    for node in (a, b):
        await node.start()
    workers = embedding(a, b)
    await a.write_many(3)
    await b.write_many(4)
    await settle(5)
    assert [len(one.embedder.texts) for one in workers] == [7, 7]
    assert await lacking(a, b) == [0, 0]
    await settle(4 * SILENCE)
    assert [len(one.embedder.texts) for one in workers] == [7, 7]
    models = [(await node.store.vectors_of(["a-1"]))[0].model for node in (a, b)]
    assert models == [MODEL, OTHER_MODEL]


@virtual
async def test_texts_of_a_node_without_a_model_are_shared_by_those_with(cluster: Cluster):
    a, b, c = (cluster.add(name, [*set("abc") - {name}]) for name in "abc")
    c.model = None
    for node in (a, b, c):
        await node.start()
    workers = embedding(a, b)
    await c.write_many(40)
    await settle(5)
    assert times(*workers) == {1: 40}
    assert all(one.embedder.texts for one in workers)
    assert await lacking(a, b) == [0, 0]


@virtual
async def test_who_changes_to_the_fleets_model_fetches_its_vectors(cluster: Cluster):
    a, b = (cluster.add(name, [other]) for name, other in ("ab", "ba"))
    b.model = None
    for node in (a, b):
        await node.start()
    workers = embedding(a)
    await a.write_many(300)
    await cluster.converge()
    await settle(5)
    await b.stop()
    b.model = MODEL
    await b.start()
    workers += embedding(b)
    assert await lacking(b) == [300]
    await settle(3 * LOOK_SECONDS)
    assert await lacking(b) == [0]
    assert times(*workers) == {1: 300}
    assert cluster.network.calls["b", "a", Method.VECTORS] <= 6
    assert b.running.vectors.counts.vectors == 300

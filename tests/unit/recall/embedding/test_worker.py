"""The backlog drains behind the writes: it resumes, backs off, skips and never blocks the loop."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest
from typing_extensions import override

from app.domain.errors import StoreUnavailableError
from app.domain.text import content_hash
from app.recall.embedding.protocol import (
    Embedded,
    EmbeddingError,
    EmbeddingRefusedError,
    Vector,
)
from app.recall.embedding.query_cache import QueryCache
from app.recall.embedding.worker import EmbeddingWorker, WorkerLimits, document_executor

DIM = 4
QUICK = WorkerLimits(
    batch=4, record_every_seconds=60, first_wait_seconds=0.001, longest_wait_seconds=0.004
)


@dataclass(frozen=True)
class Text:
    memory_id: str
    content_hash: bytes
    text: str


class Memories:
    """Both ports over a dict: what has no vector of its current text is pending."""

    def __init__(self, count: int = 0) -> None:
        self.texts: dict[str, str] = {}
        self.vectors: dict[str, Embedded] = {}
        self.reads: list[int] = []
        self.records: list[int] = []
        self.unavailable = 0
        for n in range(count):
            self.write(f"m{n:03}", f"text {n}")

    def write(self, memory_id: str, text: str) -> None:
        self.texts[memory_id] = text

    def _lacking(self) -> list[Text]:
        every = (Text(i, content_hash("", text), text) for i, text in self.texts.items())
        return [
            text
            for text in every
            if text.memory_id not in self.vectors
            or self.vectors[text.memory_id].content_hash != text.content_hash
        ]

    async def pending(self, limit: int) -> Sequence[Text]:
        self.reads.append(limit)
        return self._lacking()[:limit]

    async def pending_count(self) -> int:
        return len(self._lacking())

    async def record(self, vectors: Sequence[Embedded]) -> None:
        if self.unavailable:
            self.unavailable -= 1
            raise StoreUnavailableError("the disk is full")
        self.records.append(len(vectors))
        for vector in vectors:
            if vector.content_hash == content_hash("", self.texts[vector.memory_id]):
                self.vectors[vector.memory_id] = vector


@dataclass
class Backend:
    """A remote vendor, played: fails as told, else a vector made of the text's length."""

    failures: list[EmbeddingError] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    before: Callable[[str], None] = lambda _text: None
    asked: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    fingerprint: str = "fake/4/1"
    dim: int = DIM

    def embed_document(self, text: str) -> Vector:
        self.before(text)
        self.asked.append(text)
        self.threads.add(threading.get_ident())
        if text in self.refused:
            raise EmbeddingRefusedError("answered 400", is_about_text=True)
        if self.failures:
            raise self.failures.pop(0)
        return np.full(DIM, len(text), np.float32)

    def embed_query(self, text: str) -> Vector:
        self.asked.append(text)
        return np.full(DIM, len(text), np.float32)

    def close(self) -> None:
        pass


class TurnedClock:
    """Moves a little at every look, so that a rate can be told."""

    def __init__(self, step: float = 0.001) -> None:
        self._ticks = itertools.count()
        self._step = step

    def monotonic(self) -> float:
        return next(self._ticks) * self._step

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with document_executor() as executor:
        yield executor


def worker(
    memories: Memories,
    backend: Backend,
    executor: ThreadPoolExecutor,
    limits: WorkerLimits = QUICK,
    clock: TurnedClock | None = None,
) -> EmbeddingWorker:
    return EmbeddingWorker(
        embedder=backend,
        source=memories,
        sink=memories,
        clock=clock or TurnedClock(),
        executor=executor,
        limits=limits,
    )


@asynccontextmanager
async def running(subject: EmbeddingWorker) -> AsyncIterator[None]:
    task = asyncio.create_task(subject.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # the condition belongs to the code under test
            await asyncio.sleep(0.001)


async def test_a_backlog_of_several_batches_drains_in_order_off_the_loops_thread(executor) -> None:
    memories, backend = Memories(10), Backend()

    async with running(worker(memories, backend, executor)):
        await until(lambda: len(memories.vectors) == 10)

    assert backend.asked == [f"text {n}" for n in range(10)]
    assert threading.get_ident() not in backend.threads
    assert max(memories.records) <= QUICK.batch
    vector = memories.vectors["m000"].vector
    assert vector.dtype == np.float16
    assert vector.tolist() == [6.0] * DIM


async def test_new_text_is_embedded_when_notified_without_waiting_for_the_next_look(
    executor,
) -> None:
    memories = Memories(1)
    subject = worker(memories, Backend(), executor)

    async with running(subject):
        await until(lambda: len(memories.vectors) == 1 and len(memories.reads) >= 2)
        memories.write("new", "a new text")
        subject.notify()
        await until(lambda: "new" in memories.vectors)


async def test_without_a_notice_the_backlog_is_still_looked_at(executor) -> None:
    memories = Memories(1)
    limits = WorkerLimits(idle_seconds=0.01)

    async with running(worker(memories, Backend(), executor, limits)):
        await until(lambda: len(memories.vectors) == 1)
        memories.write("quiet", "came by replication")
        await until(lambda: "quiet" in memories.vectors)


async def test_the_state_shows_backlog_rate_and_count(executor) -> None:
    memories = Memories(3)
    subject = worker(memories, Backend(), executor)
    assert (await subject.state()).pending == 3
    assert (await subject.state()).texts_per_second == 0

    assert await subject.drain() == 3

    state = await subject.state()
    assert (state.pending, state.embedded, state.last_error) == (0, 3, None)
    assert state.texts_per_second > 0


async def test_a_failing_backend_is_asked_ever_more_rarely_and_nothing_is_lost(
    executor, caplog: pytest.LogCaptureFixture
) -> None:
    memories = Memories(2)
    backend = Backend(failures=[EmbeddingError("answered 503") for _ in range(5)])
    subject = worker(memories, backend, executor)

    async with running(subject):
        await until(lambda: len(memories.vectors) == 2)
        await until(lambda: len(caplog.records) >= 5)

    waits = [record.getMessage().split()[2] for record in caplog.records]
    assert waits == ["0.001", "0.002", "0.004", "0.004", "0.004"]
    assert (await subject.state()).last_error is None


async def test_while_it_waits_the_reason_is_shown(executor) -> None:
    memories = Memories(1)
    backend = Backend(failures=[EmbeddingRefusedError("answered 401")])
    limits = WorkerLimits(first_wait_seconds=60)
    subject = worker(memories, backend, executor, limits)

    async with running(subject):
        await until(lambda: subject.last_error is not None)
        subject.notify()

    assert (await subject.state()).last_error == "answered 401"
    assert len(backend.asked) == 1


async def test_what_was_embedded_before_a_failure_is_kept(executor) -> None:
    memories, backend = Memories(3), Backend()

    def fail_at_the_third(text: str) -> None:
        if text == "text 2":
            raise EmbeddingError("answered 500")

    backend.before = fail_at_the_third
    with pytest.raises(EmbeddingError):
        await worker(memories, backend, executor).drain()

    assert list(memories.vectors) == ["m000", "m001"]


async def test_a_refused_text_is_skipped_and_does_not_hold_up_the_others(executor) -> None:
    memories = Memories(6)
    backend = Backend(refused={f"text {n}" for n in range(5)})
    subject = worker(memories, backend, executor)

    assert await subject.drain() == 1
    assert list(memories.vectors) == ["m005"]
    assert (await subject.state()).refused == 5
    assert len(backend.asked) == 6


async def test_a_refused_text_is_tried_again_once_it_changes(executor) -> None:
    memories, backend = Memories(1), Backend(refused={"text 0"})
    subject = worker(memories, backend, executor)
    await subject.drain()

    memories.write("m000", "another text")
    assert await subject.drain() == 1


async def test_a_store_that_cannot_take_vectors_is_tried_again(executor) -> None:
    memories = Memories(2)
    memories.unavailable = 2

    async with running(worker(memories, Backend(), executor)):
        await until(lambda: len(memories.vectors) == 2)


async def test_text_that_changes_while_it_is_embedded_is_embedded_again(executor) -> None:
    memories, backend = Memories(1), Backend()
    changed = False

    def change(_text: str) -> None:
        nonlocal changed
        if not changed:
            changed = True
            memories.write("m000", "changed meanwhile")

    backend.before = change
    await worker(memories, backend, executor).drain()

    assert memories.vectors["m000"].content_hash == content_hash("", "changed meanwhile")
    assert backend.asked == ["text 0", "changed meanwhile"]


async def test_after_a_failure_the_backlog_is_read_anew(executor) -> None:
    memories, backend = Memories(2), Backend(failures=[EmbeddingError("answered 503")])
    backend.before = lambda _text: memories.write("m001", "changed meanwhile")

    async with running(worker(memories, backend, executor)):
        await until(lambda: len(memories.vectors) == 2)

    assert backend.asked == ["text 0", "text 0", "changed meanwhile"]


async def test_vectors_are_recorded_in_the_middle_of_a_long_batch(executor) -> None:
    memories = Memories(4)
    limits = WorkerLimits(batch=4, record_every_seconds=0.5)

    await worker(memories, Backend(), executor, limits, TurnedClock(step=0.3)).drain()

    assert memories.records == [2, 2]


async def test_cancelling_stops_after_the_text_at_hand(executor) -> None:
    memories, backend = Memories(4), Backend()
    started, go_on = threading.Event(), threading.Event()

    def hold(_text: str) -> None:
        started.set()
        go_on.wait(10)

    backend.before = hold
    async with running(worker(memories, backend, executor)):
        await until(started.is_set)
    go_on.set()
    executor.shutdown()

    assert backend.asked == ["text 0"]


def test_a_repeated_query_is_embedded_once_and_shared_read_only() -> None:
    backend = Backend()
    cache = QueryCache(backend, capacity=2)

    first = cache.embed_query("a")
    assert cache.embed_query("a") is first
    assert not first.flags.writeable
    cache.embed_query("b")
    cache.embed_query("c")
    cache.embed_query("a")

    assert backend.asked == ["a", "b", "c", "a"]
    assert cache.hits == 1
    assert (cache.dim, cache.fingerprint) == (DIM, "fake/4/1")


def test_a_failed_query_is_not_remembered() -> None:
    class Flaky(Backend):
        @override
        def embed_query(self, text: str) -> Vector:
            if self.failures:
                raise self.failures.pop()
            return super().embed_query(text)

    cache = QueryCache(Flaky(failures=[EmbeddingError("busy")]))
    with pytest.raises(EmbeddingError):
        cache.embed_query("a")
    assert cache.embed_query("a").tolist() == [1.0] * DIM

"""The backlog: memories whose text has no vector yet, embedded behind the writes.

The backlog itself is the store's to derive (what lacks a current vector), so a crash
loses nothing and there is no queue to bound.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from app.domain.errors import StoreUnavailableError
from app.recall.embedding.protocol import Embedded, EmbeddingError, EmbeddingRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from app.domain.sources import Clock
    from app.recall.embedding.protocol import Embedder, Unembedded

_LOGGER = logging.getLogger(__name__)

_RATE_WINDOW_SECONDS = 60.0
_NICENESS = 10


class BacklogSource(Protocol):
    """Where the worker finds its work."""

    async def pending(self, limit: int) -> Sequence[Unembedded]:
        """Up to `limit` memories that lack a current vector, oldest first."""
        ...

    async def pending_count(self) -> int:
        """How many lack one."""
        ...


class VectorSink(Protocol):
    """Where finished vectors go."""

    async def record(self, vectors: Sequence[Embedded]) -> None:
        """Keep them; those whose `content_hash` is no longer the memory's are dropped.

        On return they are no longer pending.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """How much at once, and how long to wait."""

    batch: int = 100
    """Texts read from the backlog at a time (`[embeddings] backfill_batch`)."""
    record_every_seconds: float = 0.5
    """A vector waits at most this long, and one text, to be recorded with others."""
    idle_seconds: float = 60.0
    """The backlog is looked at this often even if nobody calls `notify`."""
    first_wait_seconds: float = 1.0
    """After a failure; doubled after each further one."""
    longest_wait_seconds: float = 60.0
    refused_max: int = 1_000
    """More refused texts than this are taken for a failing backend."""


@dataclass(frozen=True, slots=True)
class BacklogState:
    """For stats and health."""

    pending: int
    texts_per_second: float
    """Over the last minute, while there was work."""
    embedded: int
    refused: int
    """Texts that the backend will not embed; tried again after a restart."""
    last_error: str | None
    """Why the worker waits; None while all is well."""


@dataclass(frozen=True, slots=True)
class _Busy:
    """One stretch of embedding."""

    ended: float
    seconds: float
    texts: int


@dataclass(slots=True)
class _Outcome:
    embedded: list[Embedded] = field(default_factory=list)
    refused: list[Unembedded] = field(default_factory=list)
    unread: int = 0
    error: EmbeddingError | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """What to do after one attempt: go on, wait, or sleep until notified."""

    wait_seconds: float = 0.0
    is_idle: bool = False


def document_executor() -> ThreadPoolExecutor:
    """The one thread that embeds documents; it yields to the rest of the process."""
    return ThreadPoolExecutor(1, thread_name_prefix="embed", initializer=_yield_to_others)


def _yield_to_others() -> None:
    if sys.platform == "linux":  # elsewhere niceness belongs to whole processes
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class EmbeddingWorker:
    """Embeds what lacks a vector, oldest first, until cancelled.

    Only `run` may be called once; the rest at any time from the event loop.
    """

    def __init__(
        self,
        *,
        embedder: Embedder,
        source: BacklogSource,
        sink: VectorSink,
        clock: Clock,
        executor: Executor,
        limits: WorkerLimits | None = None,
    ) -> None:
        self._embedder = embedder
        self._source = source
        self._sink = sink
        self._clock = clock
        self._executor = executor
        self._limits = limits or WorkerLimits()
        self._wake = asyncio.Event()
        self._stopping = threading.Event()
        self._fetched: deque[Unembedded] = deque()
        self._refused: set[tuple[str, bytes]] = set()
        self._busy: deque[_Busy] = deque()
        self._embedded = 0
        self._failures = 0
        self._last_error: str | None = None

    def notify(self) -> None:
        """There is new text; cheap enough to call after every write."""
        self._wake.set()

    @property
    def last_error(self) -> str | None:
        """Why the worker waits; None while all is well."""
        return self._last_error

    @property
    def embedded(self) -> int:
        """Texts embedded since the start."""
        return self._embedded

    async def state(self) -> BacklogState:
        now = self._clock.monotonic()
        recent = [busy for busy in self._busy if now - busy.ended <= _RATE_WINDOW_SECONDS]
        seconds = sum(busy.seconds for busy in recent)
        return BacklogState(
            pending=await self._source.pending_count(),
            texts_per_second=sum(busy.texts for busy in recent) / seconds if seconds else 0.0,
            embedded=self._embedded,
            refused=len(self._refused),
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Work until cancelled; a text being embedded then is finished and dropped."""
        try:
            while True:
                self._wake.clear()
                step = await self._attempt()
                if step.wait_seconds:
                    # The whole time: new text is no reason to ask a failing backend sooner.
                    await asyncio.sleep(step.wait_seconds)
                elif step.is_idle:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._limits.idle_seconds):
                            await self._wake.wait()
        finally:
            self._stopping.set()

    async def drain(self) -> int:
        """Work until nothing is pending; returns how many vectors were recorded.

        Raises:
            EmbeddingError: On the first failure of the backend.
            StoreUnavailableError: If the store refuses.
        """
        before = self._embedded
        while await self._work():
            pass
        return self._embedded - before

    async def _attempt(self) -> _Step:
        try:
            worked = await self._work()
        except (EmbeddingError, StoreUnavailableError) as error:
            self._fetched.clear()
            wait = min(
                self._limits.longest_wait_seconds,
                self._limits.first_wait_seconds * 2.0 ** min(self._failures, 30),
            )
            self._failures += 1
            self._last_error = error.message
            _LOGGER.warning("embedding waits %s s: %s", wait, error.message)
            return _Step(wait_seconds=wait)
        self._failures = 0
        self._last_error = None
        return _Step(is_idle=not worked)

    async def _fetch(self) -> bool:
        """Read the next of the backlog, past what was refused; False if there is none."""
        found = await self._source.pending(self._limits.batch + len(self._refused))
        fresh = [t for t in found if (t.memory_id, t.content_hash) not in self._refused]
        self._fetched.extend(fresh[: self._limits.batch])
        return bool(self._fetched)

    async def _work(self) -> bool:
        """Embed what was read, for a moment, and record it; False if nothing is pending.

        Raises:
            EmbeddingError: If the backend failed; what it did before is recorded.
            StoreUnavailableError: If the store refuses.
        """
        if not self._fetched and not await self._fetch():
            return False
        texts = list(self._fetched)
        loop = asyncio.get_running_loop()
        started = self._clock.monotonic()
        outcome = await loop.run_in_executor(self._executor, self._embed, texts)
        ended = self._clock.monotonic()
        for _ in range(len(texts) - outcome.unread):
            self._fetched.popleft()
        if outcome.embedded:
            await self._sink.record(outcome.embedded)
            self._embedded += len(outcome.embedded)
            self._note_busy(_Busy(ended, ended - started, len(outcome.embedded)))
        self._refuse(outcome.refused)
        if outcome.error:
            raise outcome.error
        return True

    def _embed(self, texts: Sequence[Unembedded]) -> _Outcome:
        """In the executor: until the texts, the moment or the process end."""
        outcome = _Outcome(unread=len(texts))
        deadline = self._clock.monotonic() + self._limits.record_every_seconds
        for text in texts:
            if self._stopping.is_set():
                break
            try:
                vector = self._embedder.embed_document(text.text).astype(np.float16)
                outcome.embedded.append(Embedded(text.memory_id, text.content_hash, vector))
            except EmbeddingRefusedError as error:
                if not error.is_about_text:
                    outcome.error = error
                    break
                outcome.refused.append(text)
            except EmbeddingError as error:
                outcome.error = error
                break
            outcome.unread -= 1
            if self._clock.monotonic() >= deadline:
                break
        return outcome

    def _refuse(self, texts: Sequence[Unembedded]) -> None:
        for text in texts:
            _LOGGER.warning("the embedding backend refuses the text of %s", text.memory_id)
            self._refused.add((text.memory_id, text.content_hash))
        if len(self._refused) > self._limits.refused_max:
            self._refused.clear()
            raise EmbeddingError("the embedding backend refuses one text after another")

    def _note_busy(self, busy: _Busy) -> None:
        self._busy.append(busy)
        while busy.ended - self._busy[0].ended > _RATE_WINDOW_SECONDS:
            self._busy.popleft()

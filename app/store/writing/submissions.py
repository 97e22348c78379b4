"""The event loop's side of the writer: jobs in, futures out."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from typing_extensions import override

from app.store.consistency import note_write
from app.store.protocol import Receipt, Store
from app.store.writing.batch import CommandJob
from app.store.writing.expiry import CollectJob
from app.store.writing.foreign import ForeignJob, RetryJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.memory import Memory
    from app.log.entry import Entry
    from app.store.protocol import Command, ForeignOutcome
    from app.store.writing.writer import Writer

T = TypeVar("T")


class Submissions:
    """What a store's writing methods do. `inline` runs each in the caller's thread."""

    def __init__(self, writer: Writer, *, inline: bool) -> None:
        self._writer = writer
        self._inline = inline
        self._answers: deque[tuple[asyncio.Future[object], object]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def submit(self, command: Command[T]) -> Receipt[T]:
        """See `Store.submit`."""
        future = self._future()
        self._writer.put([CommandJob(command, partial(self._answer, future))])
        self._run_inline()
        receipt = cast("Receipt[T]", await future)
        note_write(receipt.origin, receipt.seq)
        return receipt

    async def submit_all(self, commands: Sequence[Command[T]]) -> Sequence[Receipt[T] | Exception]:
        """See `Store.submit_all`."""
        futures = [self._future() for _ in commands]
        self._writer.put(
            [
                CommandJob(command, partial(self._answer, future))
                for command, future in zip(commands, futures, strict=True)
            ]
        )
        self._run_inline()
        gathered = await asyncio.gather(*futures, return_exceptions=True)
        found = cast("list[Receipt[T] | Exception]", gathered)
        for one in found:
            if isinstance(one, Receipt):
                note_write(one.origin, one.seq)
        return found

    async def append_foreign(self, entries: Sequence[Entry]) -> ForeignOutcome:
        """See `Store.append_foreign`."""
        future = self._future()
        self._writer.put([ForeignJob(entries, partial(self._answer, future))])
        self._run_inline()
        return cast("ForeignOutcome", await future)

    async def collect_expired(self, limit: int, *, archive: bool) -> Sequence[Memory]:
        """See `Store.collect_expired`."""
        future = self._future()
        self._writer.put([CollectJob(limit, archive, partial(self._answer, future))])
        self._run_inline()
        return cast("Sequence[Memory]", await future)

    async def retry_quarantine(self) -> int:
        """See `Store.retry_quarantine`."""
        future = self._future()
        self._writer.put([RetryJob(partial(self._answer, future))])
        self._run_inline()
        return cast("int", await future)

    def call_soon(self, function: Callable[[], None]) -> None:
        """From the writer's thread: have the event loop that submitted last call `function`."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)

    def deliver(self) -> None:
        """In the event loop: hand out the answers that are there."""
        while self._answers:
            # Looked at before it is taken, so that a writer who adds behind it need not wake us.
            future, outcome = self._answers[0]
            _resolve(future, outcome)
            self._answers.popleft()

    def _run_inline(self) -> None:
        if self._inline:
            self._writer.run_queued()

    def _future(self) -> asyncio.Future[object]:
        self._loop = asyncio.get_running_loop()
        return self._loop.create_future()

    def _answer(self, future: asyncio.Future[object], outcome: object) -> None:
        """From the writer's thread: queue the answer, wake the loop once for many."""
        if self._inline or self._loop is None:
            _resolve(future, outcome)
            return
        self._answers.append((future, outcome))
        if len(self._answers) == 1:
            try:
                self._loop.call_soon_threadsafe(self.deliver)
            except RuntimeError:  # the loop is gone: nobody waits any more
                self._answers.clear()


class SubmittingStore(Store):
    """A store whose writes go through a writer: what every adapter's writing methods are."""

    _submissions: Submissions

    @override
    async def submit(self, command: Command[T]) -> Receipt[T]:
        """Run one command in the next batch."""
        return await self._submissions.submit(command)

    @override
    async def submit_all(self, commands: Sequence[Command[T]]) -> Sequence[Receipt[T] | Exception]:
        """Run many commands in order; each fails alone."""
        return await self._submissions.submit_all(commands)

    @override
    async def append_foreign(self, entries: Sequence[Entry]) -> ForeignOutcome:
        """Append a peer's entries."""
        return await self._submissions.append_foreign(entries)

    @override
    async def collect_expired(self, limit: int, *, archive: bool) -> Sequence[Memory]:
        """Move expired rows out of the live table."""
        return await self._submissions.collect_expired(limit, archive=archive)

    @override
    async def retry_quarantine(self) -> int:
        """Apply entries whose future has come."""
        return await self._submissions.retry_quarantine()


def _resolve(future: asyncio.Future[object], outcome: object) -> None:
    if future.done():
        return  # the caller gave up waiting; the write stands
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

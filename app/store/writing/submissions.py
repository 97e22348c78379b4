"""The event loop's side of the writer: jobs in, futures out."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from typing_extensions import override

from app.store.protocol import Receipt, Store
from app.store.writing.batch import CommandJob
from app.store.writing.expiry import CollectJob
from app.store.writing.written import WRITTEN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.memory import Memory
    from app.store.protocol import Command
    from app.store.writing.batch import Job
    from app.store.writing.renewal import Renewal
    from app.store.writing.writer import Writer
    from app.store.writing.written import IdempotencyKey, Written

T = TypeVar("T")
Done: TypeAlias = "Callable[[object], None]"


class Submissions:
    """What a store's writing methods do. `inline` runs each in the caller's thread."""

    def __init__(self, writer: Writer, *, inline: bool) -> None:
        self._writer = writer
        self._inline = inline
        self._answers: deque[tuple[asyncio.Future[object], object]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: list[Callable[[], None]] = []
        self._has_news = False

    async def submit(self, command: Command[T]) -> Receipt[T]:
        """See `Store.submit`."""
        written = WRITTEN.get()
        future = self._future()
        self._writer.put([CommandJob(command, partial(self._answer, future), _key(written))])
        self._run_inline()
        receipt = cast("Receipt[T]", await future)
        if written is not None:
            written.note(receipt.origin, receipt.seqs)
        return receipt

    async def submit_all(self, commands: Sequence[Command[T]]) -> Sequence[Receipt[T] | Exception]:
        """See `Store.submit_all`."""
        written = WRITTEN.get()
        futures = [self._future() for _ in commands]
        self._writer.put(
            [
                CommandJob(command, partial(self._answer, future), _key(written))
                for command, future in zip(commands, futures, strict=True)
            ]
        )
        self._run_inline()
        gathered = await asyncio.gather(*futures, return_exceptions=True)
        found = cast("list[Receipt[T] | Exception]", gathered)
        for one in found:
            if isinstance(one, Receipt) and written is not None:
                written.note(one.origin, one.seqs)
        return found

    async def run(self, make: Callable[[Done], Job | Renewal]) -> object:
        """Queue what `make` makes of where to answer, and wait for the answer."""
        future = self._future()
        self._writer.put([make(partial(self._answer, future))])
        self._run_inline()
        return await future

    def call_soon(self, function: Callable[[], None]) -> None:
        """From the writer's thread: have the event loop that submitted last call `function`."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)

    def watch(self, notify: Callable[[], None]) -> None:
        """See `Replica.watch_log`."""
        self._watchers.append(notify)

    def tell_watchers(self) -> None:
        """From the writer's thread, before it answers: the log is longer.

        The answers, which follow at once, wake the event loop for both.
        """
        if self._inline and self._loop is not None:
            self._loop.call_soon(self._notify)
        self._has_news = True

    def _notify(self) -> None:
        if self._has_news:
            self._has_news = False
            for notify in self._watchers:
                notify()

    def deliver(self) -> None:
        """In the event loop: hand out the answers that are there, and tell who watches the log."""
        while self._answers:
            # Looked at before it is taken, so that a writer who adds behind it need not wake us.
            future, outcome = self._answers[0]
            _resolve(future, outcome)
            self._answers.popleft()
        self._notify()

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
    async def collect_expired(self, limit: int, *, archive: bool) -> Sequence[Memory]:
        """Move expired rows out of the live table."""
        moved = await self._submissions.run(lambda done: CollectJob(limit, archive, done))
        return cast("Sequence[Memory]", moved)


def _key(written: Written | None) -> IdempotencyKey | None:
    return None if written is None else written.idempotency


def _resolve(future: asyncio.Future[object], outcome: object) -> None:
    if future.done():
        return  # the caller gave up waiting; the write stands
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

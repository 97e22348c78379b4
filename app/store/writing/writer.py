"""The one writer: a thread, and whatever has queued up in one transaction.

Group commit after DeWitt et al., "Implementation techniques for main memory
database systems" (SIGMOD 1984): the batch is what arrived while the last one
was being made durable, so it grows with the load and costs a lone writer no wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from app.domain.errors import AiMemoryError, StoreClosedError, StoreUnavailableError
from app.store.writing.batch import Batch, run_jobs
from app.store.writing.port import BatchError, BrokenConstraintError, RaceError
from app.store.writing.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.sources import Clock
    from app.store.writing.batch import Job
    from app.store.writing.chain import Chain
    from app.store.writing.flush import FlushReport
    from app.store.writing.port import Transactions

_LOGGER = logging.getLogger(__name__)

BATCH_JOBS_MAX: Final = 512
QUEUE_JOBS_MAX: Final = 20_000
_RETRY_AFTER_SECONDS: Final = 5
_RACE_PAUSES: Final = (0.0, 0.002, 0.01, 0.05, 0.2)
"""Seconds before a lost race is run again; after the last the batch is split."""


class Writer:
    """Runs jobs in transactions. `start` runs it in a thread; `run_queued` inline."""

    def __init__(
        self,
        transactions: Transactions,
        chain: Chain,
        clock: Clock,
        *,
        index_texts: bool,
        model: str | None,
        after_commit: Callable[[FlushReport], None],
    ) -> None:
        self._transactions = transactions
        self._chain = chain
        self._clock = clock
        self._index_texts = index_texts
        self._model = model
        self._after_commit = after_commit
        self._queue: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def chain(self) -> Chain:
        """The committed end of the log."""
        return self._chain

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue jobs.

        Raises:
            StoreClosedError: the store is closing.
            StoreUnavailableError: the queue is full; nothing was queued.
        """
        with self._wake:
            if self._closing:
                raise StoreClosedError("the store is closed", retry_after_seconds=1)
            if len(self._queue) + len(jobs) > QUEUE_JOBS_MAX:
                raise StoreUnavailableError(
                    "too many writes are waiting", retry_after_seconds=_RETRY_AFTER_SECONDS
                )
            self._queue.extend(jobs)
            self._wake.notify()

    def close(self) -> None:
        """Finish what is queued and stop; further `put`s are refused."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self.run_queued()

    def run_queued(self) -> None:
        """Run everything queued now, in this thread."""
        while jobs := self._take():
            self._run(jobs)

    def _loop(self) -> None:
        while True:
            with self._wake:
                if not self._queue and not self._closing:
                    self._wake.wait(self._transactions.rest_seconds)
                if not self._queue and self._closing:
                    return
            jobs = self._take()
            if jobs:
                self._run(jobs)
            else:
                self._rest()

    def _take(self) -> list[Job]:
        with self._wake:
            count = min(len(self._queue), BATCH_JOBS_MAX)
            return [self._queue.popleft() for _ in range(count)]

    def _rest(self) -> None:
        try:
            self._transactions.rest()
        except (AiMemoryError, BatchError) as error:
            _LOGGER.warning("housekeeping is put off: %s", error)
        except Exception:  # outermost frame of the thread: it must live on
            _LOGGER.exception("housekeeping failed unexpectedly")

    def _run(self, jobs: list[Job]) -> None:
        try:
            self._race(jobs)
        except (BrokenConstraintError, RaceError) as error:
            # Some job's rows break the schema. Alone, only that one fails.
            if len(jobs) == 1:
                _LOGGER.exception("a write breaks a constraint of the schema, or was never first")
                self._fail(jobs, error.meaning)
                return
            for job in jobs:
                self._run([job])
        except (AiMemoryError, BatchError) as error:
            meaning = error.meaning if isinstance(error, BatchError) else error
            _LOGGER.error(  # noqa: TRY400 - the disk's or operator's fault, no crash of ours
                "a batch of %d writes was not stored: %s", len(jobs), meaning.message
            )
            self._fail(jobs, meaning)
        except Exception as error:  # outermost frame of the thread: it must live on
            _LOGGER.exception("a batch of %d writes failed unexpectedly", len(jobs))
            self._fail(jobs, error)

    def _race(self, jobs: list[Job]) -> None:
        for pause in _RACE_PAUSES:
            try:
                self._transact(jobs)
            except RaceError as error:
                _LOGGER.info("a batch of %d writes runs again: %s", len(jobs), error)
                time.sleep(pause)
            else:
                return
        self._transact(jobs)

    def _transact(self, jobs: list[Job]) -> None:
        with self._transactions.begin() as transaction:
            batch = Batch(transaction, self._chain, self._clock, Turns(len(jobs)))
            run_jobs(batch, jobs)
            report = batch.flush(index_texts=self._index_texts, model=self._model)
        self._chain = batch.chain
        # Caches first: whoever has the answer may ask for what it changed.
        self._after_commit(report)
        for job in jobs:
            job.succeed()

    @staticmethod
    def _fail(jobs: Sequence[Job], error: Exception) -> None:
        for job in jobs:
            job.fail(error)

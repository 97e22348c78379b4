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
from app.store.writing.chain import Chain
from app.store.writing.port import BatchError, BrokenConstraintError, RaceError
from app.store.writing.renewal import Renewal
from app.store.writing.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.sources import Clock
    from app.store.writing.batch import Job
    from app.store.writing.flush import FlushReport
    from app.store.writing.port import Transactions
    from app.store.writing.renewal import Renew

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
        max_offset_ms: int,
        renew: Renew,
        after_commit: Callable[[FlushReport], None],
    ) -> None:
        self._transactions = transactions
        self._chain = chain
        self._clock = clock
        self._index_texts = index_texts
        self._model = model
        self._max_offset_ms = max_offset_ms
        self._renew = renew
        self._after_commit = after_commit
        self._queue: deque[Job | Renewal] = deque()
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

    def put(self, jobs: Sequence[Job | Renewal]) -> None:
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

    def _take(self) -> list[Job] | Renewal:
        """The next batch, or what must stand between two."""
        jobs: list[Job] = []
        with self._wake:
            while self._queue and len(jobs) < BATCH_JOBS_MAX:
                first = self._queue[0]
                if isinstance(first, Renewal):
                    if not jobs:
                        self._queue.popleft()
                        return first
                    break
                self._queue.popleft()
                jobs.append(first)
        return jobs

    def _rest(self) -> None:
        try:
            self._transactions.rest()
        except (AiMemoryError, BatchError) as error:
            _LOGGER.warning("housekeeping is put off: %s", error)
        except Exception:  # outermost frame of the thread: it must live on
            _LOGGER.exception("housekeeping failed unexpectedly")

    def _run(self, jobs: list[Job] | Renewal) -> None:
        if isinstance(jobs, Renewal):
            self._start_epoch(jobs)
            return
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

    def _start_epoch(self, asked: Renewal) -> None:
        before = self._chain.own.origin
        try:
            own = self._renew(asked.reason, asked.used_epochs)
        except BatchError as error:
            asked.done(error.meaning)
        except Exception as error:  # outermost frame of the thread: it must live on
            _LOGGER.exception("the origin could not be renewed")
            asked.done(error)
        else:
            self._chain = Chain(own, self._chain.last_hlc)
            _LOGGER.warning("writing as %s after %s: %s", own.origin, before, asked.reason.value)
            asked.done(own.origin)

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
            batch = Batch(
                transaction,
                self._chain,
                self._clock,
                Turns(sum(job.weight for job in jobs)),
                self._max_offset_ms,
            )
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

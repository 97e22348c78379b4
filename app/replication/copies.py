"""Waiting for copies: the event loop's side of `Quorum`.

One timer serves all waits, since all have the same patience and so end in the order they began.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from app.replication.durability import Outcome, PeerOutcome
from app.replication.quorum import Verdict, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from app.replication.quorum import Quorum


class Copies:
    """Who waits for which copies."""

    def __init__(
        self,
        quorum: Quorum,
        timeout_seconds: float,
        describe: Callable[[Wait, float], tuple[PeerOutcome, ...]],
    ) -> None:
        """`describe` says what each peer did about a missed write that began at a loop's time."""
        self._quorum = quorum
        self._timeout = timeout_seconds
        self._describe = describe
        self._futures: dict[Wait, asyncio.Future[Verdict]] = {}
        self._patience: deque[tuple[float, Wait]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, origin: str, seqs: Collection[int], needed: int) -> Outcome:
        """Until so many stores hold these entries, or cannot any more, or patience ends."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        wait = Wait(origin, seqs, needed)
        verdict = self._quorum.add(wait)
        if verdict is None:
            future: asyncio.Future[Verdict] = loop.create_future()
            self._futures[wait] = future
            self._patience.append((began + self._timeout, wait))
            if self._timer is None:
                self._timer = loop.call_at(began + self._timeout, self._expire)
            try:
                verdict = await future
            finally:
                self._futures.pop(wait, None)
                if wait.verdict is None:  # the client went away
                    self._quorum.give_up(wait, "timeout")
        if verdict.reason is not None:
            # Its last copy may have come while this task waited for its turn on a busy loop.
            late = self._quorum.judge(wait)
            if late is not None and late.reason is None:
                verdict = late
        if verdict.reason is None:
            return Outcome(verdict.got, needed)
        return Outcome(verdict.got, needed, verdict.reason, self._describe(wait, began))

    def settle(self, waits: Iterable[Wait]) -> None:
        """Tell those whose verdict is there."""
        for wait in waits:
            future = self._futures.get(wait)
            if future is not None and not future.done() and wait.verdict is not None:
                future.set_result(wait.verdict)

    def stop(self) -> None:
        """End every wait; what is stored stays stored."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for wait in list(self._quorum.open_waits()):
            self._quorum.give_up(wait, "unreachable")
            self.settle([wait])

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._patience:
            deadline, wait = self._patience[0]
            if wait.verdict is None and deadline > now:
                self._timer = loop.call_at(deadline, self._expire)
                return
            self._patience.popleft()
            if wait.verdict is None:
                self._quorum.give_up(wait, "timeout")
                self.settle([wait])

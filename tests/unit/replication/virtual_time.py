"""An event loop whose time passes only while everybody waits, and then at once."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec

from typing_extensions import override

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
P = ParamSpec("P")


class StuckError(Exception):
    """Everybody waits and nothing will ever happen."""


class _Selector(selectors.SelectSelector):
    loop: "VirtualLoop"

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError
        self.loop.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    @override
    def time(self) -> float:
        return self.now


class VirtualClock:
    """Wall time that follows the loop; `skew` puts it wrong."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.skew = timedelta()

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time()) + self.skew

    def monotonic(self) -> float:
        return self._loop.time()


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test on a virtual loop, and closes what it was given afterwards."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(test(*args, **kwargs))
        finally:
            for one in kwargs.values():
                if hasattr(one, "close"):
                    loop.run_until_complete(one.close())
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            asyncio.set_event_loop(None)
            loop.close()

    return run

"""What takes more than a second says how far it is, on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TextIO

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

QUIET_SECONDS: Final = 1.0
LINE_SECONDS: Final = 5.0
"""Between two lines when standard error is no terminal."""


class Progress:
    """Silent for the first second; then a bar on a terminal, else a line now and then."""

    def __init__(
        self,
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,  # noqa: TID251  # how long a person waits
    ) -> None:
        self._stream = stream or sys.stderr
        self._monotonic = monotonic
        self._what = ""
        self._begun_at = 0.0
        self._line_at: float | None = None
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def report(self, what: str, done: int, total: int) -> None:
        """How far one piece of work is; `total` 0 while that is unknown."""
        now = self._monotonic()
        if what != self._what:
            self._end()
            self._what, self._begun_at, self._line_at = what, now, None
        if total == 0:
            self._say(f"{what} …")
        elif now - self._begun_at >= QUIET_SECONDS:
            self._show(done, total, now)
        if total and done >= total:
            self._end()

    def _show(self, done: int, total: int, now: float) -> None:
        if self._stream.isatty():
            self._draw(done, total)
        elif self._line_at is None or now - self._line_at >= LINE_SECONDS or done >= total:
            self._line_at = now
            self._say(f"{self._what}: {done} of {total} ({100 * done // total} %)")

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console  # noqa: PLC0415  # not for short calls
            from rich.progress import Progress as Bar  # noqa: PLC0415

            self._bar = Bar(console=Console(file=self._stream), transient=True)
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total)

    def _say(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._task, self._what = None, None, ""

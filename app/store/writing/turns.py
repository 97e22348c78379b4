"""Letting other threads go first while a long batch computes.

A batch of 500 rows computes for 100 ms. Whoever waits for the interpreter lock beside it would get
it only at the end of a switch interval, at each of the half dozen hand-overs that a read is.
"""

from __future__ import annotations

import time
from typing import Final

LONG_BATCH: Final = 32
"""Batches of more rows than this give way; shorter ones are over in a few milliseconds."""
HUGE_BATCH: Final = 256
"""Batches of more rows than this give way more often: whoever reads meets them at every step."""
_TURN_SECONDS: Final = 1e-3
_SHORT_TURN_SECONDS: Final = 0.25e-3
"""How long a batch keeps the lock; the interpreter itself would take it only later."""
_GIVING_SECONDS: Final = 20e-6


class Turns:
    """Counts the time for which one batch has kept others waiting.

    Giving way costs 0.1 ms however short it is, so it is done by the time and not by the row.
    """

    def __init__(self, row_count: int) -> None:
        self._gives = row_count > LONG_BATCH
        self._seconds = _SHORT_TURN_SECONDS if row_count > HUGE_BATCH else _TURN_SECONDS
        self._since = time.perf_counter()

    def step(self) -> None:
        """Give way now and then; called about once for every row."""
        if self._gives and time.perf_counter() - self._since >= self._seconds:
            time.sleep(_GIVING_SECONDS)
            self._since = time.perf_counter()

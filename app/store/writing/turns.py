"""Letting other threads go first while a long batch computes.

A batch of 500 rows computes for 100 ms. Whoever waits for the interpreter lock beside it would get
it only at the end of a switch interval, at each of the half dozen hand-overs that a read is.
"""

from __future__ import annotations

import time
from typing import Final

LONG_BATCH: Final = 32
"""Batches of more rows than this give way; shorter ones are over in a few milliseconds."""
_STEPS_A_TURN: Final = 4
_GIVING_SECONDS: Final = 20e-6


class Turns:
    """Counts the steps of one batch."""

    def __init__(self, row_count: int) -> None:
        self._gives = row_count > LONG_BATCH
        self._steps = 0

    def step(self) -> None:
        """Give way now and then; called about once for every row."""
        self._steps += 1
        if self._gives and not self._steps % _STEPS_A_TURN:
            time.sleep(_GIVING_SECONDS)

"""Waiting for a condition, with a deadline."""

import threading
import time
from collections.abc import Callable

PAUSE_SECONDS = 0.002


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Return once `condition` holds.

    Raises:
        AssertionError: It does not in time; the message says what was waited for.
    """
    give_up_at = time.monotonic() + seconds
    never = threading.Event()
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {seconds} s in vain for {what}"
        never.wait(PAUSE_SECONDS)

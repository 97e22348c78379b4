"""A long batch must not keep the interpreter from those who read meanwhile."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from app.store.writing.turns import LONG_BATCH, Turns

BATCH_SECONDS = 0.5


@pytest.fixture
def endless_turns() -> Iterator[None]:
    """The interpreter takes the lock from nobody: only who gives it up lets others run."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(before)


def compute(turns: Turns, until: float) -> None:
    while time.perf_counter() < until:
        turns.step()


@pytest.mark.usefixtures("endless_turns")
def test_others_run_while_a_long_batch_computes():
    ends_at = time.perf_counter() + BATCH_SECONDS
    batch = threading.Thread(target=compute, args=(Turns(LONG_BATCH + 1), ends_at))
    batch.start()
    turns = 0
    while time.perf_counter() < ends_at:
        turns += 1
        time.sleep(0.001)  # gives the lock up, and needs it again
    batch.join()

    # Most of these waits end within a few milliseconds; without turns the first lasts to the end.
    assert turns > BATCH_SECONDS / 0.020


@pytest.mark.usefixtures("endless_turns")
def test_a_short_batch_keeps_the_lock_to_its_end():
    ends_at = time.perf_counter() + BATCH_SECONDS / 5
    batch = threading.Thread(target=compute, args=(Turns(LONG_BATCH), ends_at))
    batch.start()
    time.sleep(0.001)

    assert time.perf_counter() >= ends_at
    batch.join()

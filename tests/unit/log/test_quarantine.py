"""What is refused waits for the one thing that can let it in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.log.hlc import MAX_OFFSET_MS, pack
from app.log.quarantine import RETRIES, Quarantined, RefusalCode, is_due, passes_cursor

WAITING = Quarantined("a.1", 1, pack(100_000), RefusalCode.FUTURE_STAMP, "0.1.0")


def test_every_code_says_when_it_is_retried():
    assert set(RETRIES) == set(RefusalCode)


@pytest.mark.parametrize(
    ("now_ms", "due"), [(100_000 - MAX_OFFSET_MS - 1, False), (100_000 - MAX_OFFSET_MS, True)]
)
def test_a_future_stamp_is_due_when_the_clock_reaches_it(now_ms, due):
    assert is_due(WAITING, now_ms, "0.1.0") is due


@pytest.mark.parametrize(("version", "due"), [("0.1.0", False), ("0.2.0", True)])
def test_a_payload_of_a_newer_release_is_due_after_an_upgrade(version, due):
    waiting = replace(WAITING, code=RefusalCode.MALFORMED_PAYLOAD)
    assert is_due(waiting, 1 << 40, version) is due


@pytest.mark.parametrize("code", [RefusalCode.FORK, RefusalCode.MALFORMED_HEADER, RefusalCode.GAP])
def test_nothing_else_comes_due_by_itself(code):
    assert not is_due(replace(WAITING, code=code), 1 << 40, "9.9.9")


@pytest.mark.parametrize("code", [RefusalCode.FORK, RefusalCode.GAP, RefusalCode.BROKEN_CHAIN])
def test_the_cursor_stops_where_the_true_entry_may_still_come(code):
    assert not passes_cursor(code)


@pytest.mark.parametrize("code", [RefusalCode.MALFORMED_PAYLOAD, RefusalCode.FUTURE_STAMP])
def test_the_cursor_passes_what_will_never_be_sent_differently(code):
    assert passes_cursor(code)

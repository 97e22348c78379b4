"""What is refused waits for the one thing that can let it in."""

import pytest

from app.log.quarantine import RefusalCode, passes_cursor


@pytest.mark.parametrize("code", [RefusalCode.FORK, RefusalCode.GAP, RefusalCode.BROKEN_CHAIN])
def test_the_cursor_stops_where_the_true_entry_may_still_come(code):
    assert not passes_cursor(code)


@pytest.mark.parametrize("code", [RefusalCode.MALFORMED_PAYLOAD, RefusalCode.FUTURE_STAMP])
def test_the_cursor_passes_what_will_never_be_sent_differently(code):
    assert passes_cursor(code)

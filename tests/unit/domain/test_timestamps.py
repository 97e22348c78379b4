"""Equal instants have equal text, and text order is time order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.timestamps import (
    TimestampError,
    canonical_instant,
    epoch_milliseconds,
    format_instant,
    from_epoch_milliseconds,
    parse_instant,
)

INSTANTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(INSTANTS)
def test_what_we_write_reads_back(instant):
    text = format_instant(instant)
    assert parse_instant(text) == instant
    assert canonical_instant(text) == text
    assert len(text) == 32


@given(INSTANTS, OFFSETS)
def test_an_instant_in_another_zone_has_the_same_canonical_text(instant, offset):
    assert canonical_instant(instant.astimezone(offset).isoformat()) == format_instant(instant)


@given(INSTANTS, INSTANTS)
def test_text_order_is_time_order(left, right):
    assert (format_instant(left) < format_instant(right)) == (left < right)


@given(st.integers(0, 253_000_000_000_000))
def test_milliseconds_read_back(milliseconds):
    assert epoch_milliseconds(from_epoch_milliseconds(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-06-12T09:15:02Z", "2026-06-12T09:15:02.000000+00:00"),
        ("2026-06-12t09:15:02.1z", "2026-06-12T09:15:02.100000+00:00"),
        ("2026-06-12 09:15:02.123456789+02:00", "2026-06-12T07:15:02.123456+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000+00:00"),
    ],
)
def test_other_forms_of_rfc_3339_are_read(text, canonical):
    assert canonical_instant(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-06-12",
        "2026-06-12T09:15:02",
        "2026-02-30T00:00:00Z",
        "2026-06-12T24:00:00Z",
        "2026-06-12T09:15:02+24:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:60Z",
        "2026-06-12T09:15:02Z ",
        "２０２６-06-12T09:15:02Z",
    ],
)
def test_what_is_no_timestamp_is_refused(text):
    with pytest.raises(TimestampError):
        parse_instant(text)


@given(st.text(max_size=40))
def test_any_text_is_a_timestamp_or_refused(text):
    try:
        instant = parse_instant(text)
    except TimestampError:
        return
    assert instant.tzinfo is UTC

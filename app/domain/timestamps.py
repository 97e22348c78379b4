"""RFC 3339 text, in the one form that we emit: UTC, six digits, `+00:00`.

Equal instants then have equal text and text order is time order, so SQL may
compare strings (schema-v57 section 4, decisions on text and time).
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAP_SECOND = 60
_CANONICAL_LENGTH = 32


class TimestampError(ValueError):
    """The text is not an RFC 3339 timestamp with an offset."""


def format_instant(instant: datetime) -> str:
    """An aware datetime as `2026-06-12T09:15:02.123456+00:00`."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def parse_instant(text: str) -> datetime:
    """RFC 3339 text to an aware UTC datetime; digits past the microsecond are dropped.

    Raises:
        TimestampError: not RFC 3339, or a date that does not exist.
    """
    # Python reads more forms than RFC 3339 has; the marks in their places leave it only ours.
    if (
        len(text) == _CANONICAL_LENGTH
        and text[4] == text[7] == "-"
        and text[10] == "T"
        and text[13] == text[16] == ":"
        and text[19] == "."
        and text.endswith("+00:00")
    ):
        with suppress(ValueError):  # a leap second, or a date that does not exist: looked at below
            return datetime.fromisoformat(text)
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise TimestampError(text)
    year, month, day, hour, minute, second = (int(match.group(i)) for i in range(1, 7))
    fraction = (match.group(7) or "0")[:6].ljust(6, "0")
    offset = match.group(8)
    zone = UTC
    if offset not in {"Z", "z"}:
        sign = -1 if offset[0] == "-" else 1
        shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6]))
        if shift >= timedelta(hours=24):
            raise TimestampError(text)
        zone = timezone(sign * shift)
    # RFC 3339 section 5.7 allows second 60; Python's clock has no such second.
    extra = timedelta(seconds=1) if second == _LEAP_SECOND else timedelta()
    try:
        local = datetime(
            year, month, day, hour, minute, second - bool(extra), int(fraction), tzinfo=zone
        )
        return local.astimezone(UTC) + extra
    except (ValueError, OverflowError) as error:
        raise TimestampError(text) from error


def canonical_instant(text: str) -> str:
    """Any RFC 3339 text in the form that we emit.

    Raises:
        TimestampError: as `parse_instant`.
    """
    return format_instant(parse_instant(text))


def epoch_milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970-01-01T00:00:00Z, rounded down."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def from_epoch_milliseconds(milliseconds: int) -> datetime:
    """The inverse of `epoch_milliseconds`."""
    return _EPOCH + timedelta(milliseconds=milliseconds)

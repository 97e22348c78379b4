"""Times on v0.7.0's wire: RFC 3339 texts that are compared as instants here, never as texts.

`…:00Z` sorts behind `…:00.9Z` as text, and an offset other than `+00:00` sorts by local time. Some
of its rows have nine digits; where those decide, they are kept.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from app.domain.timestamps import TimestampError, epoch_milliseconds, parse_instant
from app.log.hlc import MAX_OFFSET_MS, Stamp, pack
from app.log.kinds.v070 import v070_origin

_DIGITS: Final = re.compile(r"\.(\d+)")
_MICROSECOND_DIGITS: Final = 6
_NANOSECOND_DIGITS: Final = 9


class Instant(NamedTuple):
    """A point in time that orders as time does, to the nanosecond."""

    microseconds: int
    nanoseconds: int


def instant_of(text: str) -> Instant:
    """The instant of RFC 3339 text.

    Raises:
        TimestampError: it is none.
    """
    found = parse_instant(text)
    digits = _DIGITS.search(text)
    rest = "" if digits is None else digits[1][_MICROSECOND_DIGITS:_NANOSECOND_DIGITS]
    return Instant(
        epoch_milliseconds(found) * 1_000 + found.microsecond % 1_000, int(rest.ljust(3, "0"))
    )


def stamp_of(text: str, peer: str) -> Stamp:
    """The stamp of what `peer` wrote at `text`: the same whoever receives it.

    Raises:
        TimestampError: no RFC 3339 text.
    """
    return Stamp(pack(max(0, epoch_milliseconds(parse_instant(text)))), v070_origin(peer))


def is_ahead(text: str, now: str) -> bool:
    """Whether an instant lies further in the future than clocks may differ.

    Raises:
        TimestampError: one of them is no RFC 3339 text.
    """
    ahead = epoch_milliseconds(parse_instant(text)) - epoch_milliseconds(parse_instant(now))
    return ahead > MAX_OFFSET_MS


__all__ = ["Instant", "TimestampError", "instant_of", "is_ahead", "stamp_of"]

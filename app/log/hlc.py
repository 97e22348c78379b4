"""Hybrid logical clock: wall milliseconds and a counter in one sortable integer.

After Kulkarni et al., "Logical Physical Clocks" (OPODIS 2014): 48 bits of
milliseconds since the epoch, 16 bits of counter. Fixed width as hexadecimal
text, so that text order is time order.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

COUNTER_BITS: Final = 16
COUNTER_MAX: Final = (1 << COUNTER_BITS) - 1
HLC_MAX: Final = (1 << 63) - 1
MAX_OFFSET_MS: Final = 60_000
_STAMP: Final = re.compile(r"([0-9a-f]{16})\.(.+)", re.DOTALL)


class HlcTooFarAheadError(Exception):
    """A remote stamp lies further ahead than the tolerated clock offset."""


class Stamp(NamedTuple):
    """When and where a value was written; tuples compare in merge order."""

    hlc: int
    origin: str

    def text(self) -> str:
        """Fixed-width sortable text, `<16 hex digits>.<origin>`."""
        return f"{self.hlc:016x}.{self.origin}"


def parse_stamp(text: str) -> Stamp:
    """The inverse of `Stamp.text`.

    Raises:
        ValueError: not 16 hexadecimal digits, a dot and an origin.
    """
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"not a stamp: {text!r}")
    return Stamp(int(match.group(1), 16), match.group(2))


def pack(milliseconds: int, counter: int = 0) -> int:
    """One integer out of wall milliseconds and a counter."""
    return (milliseconds << COUNTER_BITS) | counter


def wall_milliseconds(hlc: int) -> int:
    """The wall part of a stamp."""
    return hlc >> COUNTER_BITS


class HybridClock:
    """The clock of one origin. Never goes back, whatever the wall clock does."""

    __slots__ = ("_last",)

    def __init__(self, last: int = 0) -> None:
        self._last = last

    @property
    def last(self) -> int:
        """The highest stamp issued or observed."""
        return self._last

    def tick(self, now_ms: int) -> int:
        """A stamp above all earlier ones, for an event at wall time `now_ms`.

        A full counter carries into the milliseconds, so ticks stay unique
        even at more than 65,536 a millisecond.
        """
        self._last = max(self._last + 1, pack(now_ms))
        return self._last

    def observe(self, remote: int, now_ms: int, max_offset_ms: int = MAX_OFFSET_MS) -> None:
        """Note a stamp received from elsewhere, so that later ticks exceed it.

        Raises:
            HlcTooFarAheadError: `remote` is more than `max_offset_ms` ahead of
                `now_ms`; the clock is left as it was.
        """
        if wall_milliseconds(remote) > now_ms + max_offset_ms:
            raise HlcTooFarAheadError(remote)
        self._last = max(self._last, remote)

"""How long to leave a peer alone that failed. Pure but for the chance that is passed in.

Full waits grow by doubling up to a cap and are cut by chance to between half and all of it, so
that lanes that failed together do not come back together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.domain.sources import Randomness

FIRST_SECONDS: Final = 0.05
TRANSIENT_MAX_SECONDS: Final = 2.0
PERMANENT_MAX_SECONDS: Final = 30.0
_CHANCE_BYTES: Final = 4
_DOUBLINGS_MAX: Final = 16


class Backoff:
    """The waits of one lane."""

    def __init__(self, chance: Randomness) -> None:
        self._chance = chance
        self._failures = 0

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._failures

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def failed(self, *, permanent: bool, at_least: float | None = None) -> float:
        """Seconds to wait after one more failure; `at_least` is what the peer asked for."""
        doublings = min(self._failures, _DOUBLINGS_MAX)
        self._failures += 1
        full = min(TRANSIENT_MAX_SECONDS, FIRST_SECONDS * (1 << doublings))
        if permanent:
            full = PERMANENT_MAX_SECONDS  # nothing changes before somebody changes something
        drawn = int.from_bytes(self._chance.token(_CHANCE_BYTES)) / (1 << 8 * _CHANCE_BYTES)
        seconds = full * (0.5 + drawn / 2)
        return max(seconds, min(at_least or 0.0, PERMANENT_MAX_SECONDS))

"""How much of a question a row holds: fusion's measure of words beside vectors (ADR 0011)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# A word in the title is a fact about what the row is of.
TITLE_WEIGHT: Final = 0.25


def coverage(words: Iterable[tuple[float, bool, bool]]) -> float:
    """0..1: the weight of the words held, of the weight of all; titles count a quarter more.

    Args:
        words: Of each word its weight, whether the row holds it, and whether its title does.
    """
    held = whole = 0.0
    for weight, is_held, in_title in words:
        whole += weight * (1.0 + TITLE_WEIGHT)
        if is_held:
            held += weight * (1.0 + TITLE_WEIGHT * in_title)
    return min(held / whole, 1.0) if whole else 0.0

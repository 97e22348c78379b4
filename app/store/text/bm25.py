"""bm25 as FTS5 works it out, for whoever adds it up without FTS5."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.store.text.analysis import Analysis

COLUMN_WEIGHTS: Final = (3.0, 1.0, 1.0)
"""Of title, content and tags (ADR 0010)."""

# sqlite.org/fts5.html, "The bm25() function": its constants, and the least weight of a word that
# more than half of all rows hold.
K1: Final = 1.2
B: Final = 0.75
_WORD_WEIGHT_MIN: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Averages:
    """Of the whole collection."""

    row_count: int
    tokens_a_row: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One row as bm25 sees it: weighted occurrences of each term, and its length in tokens."""

    occurrences: Mapping[str, float]
    token_count: int

    def part(self, term: str, averages: Averages) -> float:
        """The term's part of the row's score before its weight; above 0 where the row holds it."""
        frequency = self.occurrences.get(term, 0.0)
        length = self.token_count / averages.tokens_a_row
        return frequency * (K1 + 1.0) / (frequency + K1 * (1.0 - B + B * length))


def word_weight(holders: float, row_count: int) -> float:
    """How much a word tells that `holders` of `row_count` rows hold."""
    others = max(row_count - holders, 0.0)
    return max(math.log((others + 0.5) / (holders + 0.5)), _WORD_WEIGHT_MIN)


def profile(analysis: Analysis, columns: Sequence[str]) -> Profile:
    """Of the texts of title, content and tags."""
    token_count = 0
    weighted: dict[str, float] = {}
    for text, weight in zip(columns, COLUMN_WEIGHTS, strict=True):
        terms = analysis.terms(text)
        token_count += len(terms)
        for term, count in Counter(terms).items():
            weighted[term] = weighted.get(term, 0.0) + weight * count
    return Profile(weighted, token_count)

"""bm25 of single rows, worked out as FTS5 does it.

For the few rows that changed after the arrays of common words were taken: asking FTS5 about one
row costs as much as a whole query, reading the row's text a tenth of a millisecond.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

    from app.store.sqlite.analysis import Analyser

COLUMN_WEIGHTS: Final = (3.0, 1.0, 1.0)
"""Of title, content and tags in bm25 (ADR 0010)."""

# sqlite.org/fts5.html, "The bm25() function": its constants, and the least weight of a word that
# more than half of all rows hold.
_K1: Final = 1.2
_B: Final = 0.75
_WORD_WEIGHT_MIN: Final = 1e-6

# FTS5 keeps row count and tokens a column in this record, as SQLite varints (fts5_index.c).
_AVERAGES_RECORD: Final = 1
_VARINT_BYTES_MAX: Final = 9
_CONTINUES: Final = 0x80


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
        return frequency * (_K1 + 1.0) / (frequency + _K1 * (1.0 - _B + _B * length))


def word_weight(holders: float, row_count: int) -> float:
    """How much a word tells that `holders` of `row_count` rows hold."""
    others = max(row_count - holders, 0.0)
    return max(math.log((others + 0.5) / (holders + 0.5)), _WORD_WEIGHT_MIN)


def read_averages(connection: apsw.Connection) -> Averages:
    row = connection.execute(
        "SELECT block FROM memories_fts_data WHERE id = ?", (_AVERAGES_RECORD,)
    ).fetchone()
    numbers = _varints(cast("bytes", row[0])) if row else []
    row_count, tokens = (numbers[0], sum(numbers[1:])) if numbers else (0, 0)
    # Without a token no row has a length to compare; any mean will do.
    return Averages(row_count, tokens / row_count if row_count and tokens else 1.0)


def read_profiles(
    connection: apsw.Connection, analyser: Analyser, rows: Iterable[int]
) -> dict[int, Profile]:
    """Profiles of those rows that still exist."""
    found = connection.execute(
        "SELECT m.rowid, m.title, m.content, m.tags FROM json_each(?) AS asked"
        " CROSS JOIN memories AS m ON m.rowid = asked.value",
        (json.dumps(list(rows)),),
    )
    profiles: dict[int, Profile] = {}
    for row, *columns in found:
        profiles[cast("int", row)] = _profile(analyser, [str(text or "") for text in columns])
    return profiles


def _profile(analyser: Analyser, columns: list[str]) -> Profile:
    token_count = 0
    weighted: dict[str, float] = {}
    for text, weight in zip(columns, COLUMN_WEIGHTS, strict=True):
        terms = analyser.terms(text)
        token_count += len(terms)
        for term, count in Counter(terms).items():
            weighted[term] = weighted.get(term, 0.0) + weight * count
    return Profile(weighted, token_count)


def _varints(block: bytes) -> list[int]:
    numbers: list[int] = []
    value = length = 0
    for byte in block:
        length += 1
        if length == _VARINT_BYTES_MAX:  # the ninth byte has no continuation bit
            numbers.append(value << 8 | byte)
            value = length = 0
            continue
        value = value << 7 | byte & (_CONTINUES - 1)
        if byte < _CONTINUES:
            numbers.append(value)
            value = length = 0
    return numbers

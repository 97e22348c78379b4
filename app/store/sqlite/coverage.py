"""How much of a question each of a few rows holds, whichever leg found them.

bm25 grows with repetition and falls with length, so a short row that repeats one word of a question
passes a row that holds all of them. Fusion asks this instead (ADR 0011).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.domain.text import parse_query, quoted
from app.store.sqlite.analysis import Analyser
from app.store.sqlite.term_shares import read_averages, read_profiles, word_weight

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import apsw

    from app.store.sqlite.common_words import CommonWords, View

_EVERY_ROW: Final = -1
# A word in the title is a fact about what the row is of (ADR 0011).
_TITLE_WEIGHT: Final = 0.25


@dataclass(frozen=True, slots=True)
class _Found:
    """A word of the question, and which of the asked rows hold it."""

    word: str
    weight: float
    holders: AbstractSet[int]


def coverages(
    connection: apsw.Connection,
    query: str,
    ids: Sequence[str],
    common_words: CommonWords | None = None,
) -> dict[str, float]:
    """Of each row that still exists, 0..1: the weight of the question's words that it holds.

    A word weighs what bm25 lets it weigh. Words that no row holds count too: a question of which
    the collection knows one word is not answered by that word. Words in the title count a quarter
    more, so 1 is a row that holds every word there. `common_words` changes the speed
    and, but for the weight of words whose rows just changed, not the answer.
    """
    analyser = Analyser(connection)
    rows = _rows_of(connection, ids)
    words = analyser.distinct(parse_query(query).content_words)
    if not rows or not words:
        return dict.fromkeys((memory_id for memory_id, _ in rows.values()), 0.0)
    terms = {word: term for term, word in words.items()}
    titles = {row: frozenset(analyser.terms(title)) for row, (_, title) in rows.items()}
    held = dict.fromkeys(rows, 0.0)
    whole = 0.0
    for found in _found(connection, words, rows.keys(), common_words):
        whole += found.weight * (1.0 + _TITLE_WEIGHT)
        for row in found.holders:
            in_title = terms[found.word] in titles[row]
            held[row] += found.weight * (1.0 + _TITLE_WEIGHT * in_title)
    return {memory_id: min(held[row] / whole, 1.0) for row, (memory_id, _) in rows.items()}


def _rows_of(connection: apsw.Connection, ids: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Rowid to id and title."""
    found = connection.execute(
        "SELECT m.rowid, m.id, m.title FROM json_each(?) AS asked"
        " CROSS JOIN memories AS m ON m.id = asked.value",
        (json.dumps(list(ids)),),
    )
    return {cast("int", row): (str(memory_id), str(title or "")) for row, memory_id, title in found}


def _found(
    connection: apsw.Connection,
    words: Mapping[str, str],
    rows: AbstractSet[int],
    common_words: CommonWords | None,
) -> Iterator[_Found]:
    view = common_words.view(connection, words) if common_words else None
    row_count = read_averages(connection).row_count
    for word in view.rare_words if view else tuple(words.values()):
        holders = _holders(connection, word, _EVERY_ROW)
        yield _Found(word, word_weight(len(holders), row_count), holders & rows)
    if view is not None:
        yield from _found_common(connection, view, words, rows)


def _holders(connection: apsw.Connection, word: str, above: int) -> set[int]:
    found = connection.execute(
        "SELECT rowid FROM memories_fts WHERE memories_fts MATCH ? AND rowid > ?",
        (quoted(word), above),
    )
    return {cast("int", row) for (row,) in found}


def _found_common(
    connection: apsw.Connection, view: View, words: Mapping[str, str], rows: AbstractSet[int]
) -> Iterator[_Found]:
    """What the arrays know, and what they cannot know: rows changed or added since."""
    terms = {word: term for term, word in words.items()}
    settled = [row for row in rows if row <= view.tail and row not in view.corrections]
    wanted = np.zeros(view.tail + 1, dtype=np.bool_)
    wanted[settled] = True
    changed = [row for row in rows if row in view.corrections]
    profiles = read_profiles(connection, Analyser(connection), changed)
    has_newer = any(row > view.tail for row in rows)
    for word, weighted in zip(view.common_words, view.weighted, strict=True):
        held = weighted.postings.rows
        holders = set(held[wanted[held]].tolist())
        holders |= {row for row, profile in profiles.items() if terms[word] in profile.occurrences}
        if has_newer:
            holders |= _holders(connection, word, view.tail) & rows
        yield _Found(word, weighted.weight, holders)

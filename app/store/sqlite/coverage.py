"""How much of a question each of a few rows holds, whichever leg found them.

bm25 grows with repetition and falls with length, so a short row that repeats one word of a question
passes a row that holds all of them. Fusion asks this instead (ADR 0011).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.domain.text import parse_query, quoted
from app.store.sqlite.analysis import Analyser
from app.store.sqlite.term_shares import read_averages, read_profiles, word_weight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import apsw

    from app.store.sqlite.common_words import CommonWords, View

_EVERY_ROW: Final = -1


def coverages(
    connection: apsw.Connection,
    query: str,
    ids: Sequence[str],
    common_words: CommonWords | None = None,
) -> dict[str, float]:
    """Of each row that still exists, 0..1: the weight of the question's words that it holds.

    A word weighs what bm25 lets it weigh. Words that no row holds count too: a question of which
    the collection knows one word is not answered by that word. `common_words` changes the speed
    and, but for the weight of words whose rows just changed, not the answer.
    """
    rows = _rows_of(connection, ids)
    words = Analyser(connection).distinct(parse_query(query).content_words)
    if not rows or not words:
        return dict.fromkeys(rows.values(), 0.0)
    view = common_words.view(connection, words) if common_words else None
    held = dict.fromkeys(rows, 0.0)
    whole = 0.0
    row_count = read_averages(connection).row_count
    for word in view.rare_words if view else tuple(words.values()):
        holders = _holders(connection, word, _EVERY_ROW)
        weight = word_weight(len(holders), row_count)
        whole += weight
        for row in holders & held.keys():
            held[row] += weight
    if view is not None:
        whole += _add_common(connection, view, words, held)
    return {memory_id: min(held[row] / whole, 1.0) for row, memory_id in rows.items()}


def _rows_of(connection: apsw.Connection, ids: Sequence[str]) -> dict[int, str]:
    found = connection.execute(
        "SELECT m.rowid, m.id FROM json_each(?) AS asked"
        " CROSS JOIN memories AS m ON m.id = asked.value",
        (json.dumps(list(ids)),),
    )
    return dict(cast("list[tuple[int, str]]", found.fetchall()))


def _holders(connection: apsw.Connection, word: str, above: int) -> set[int]:
    found = connection.execute(
        "SELECT rowid FROM memories_fts WHERE memories_fts MATCH ? AND rowid > ?",
        (quoted(word), above),
    )
    return {cast("int", row) for (row,) in found}


def _add_common(
    connection: apsw.Connection, view: View, words: Mapping[str, str], held: dict[int, float]
) -> float:
    """Add what the arrays know and what they cannot know; the weight of all their words."""
    terms = {word: term for term, word in words.items()}
    settled = [row for row in held if row <= view.tail and row not in view.corrections]
    wanted = np.array(settled, dtype=np.int32)
    changed = [row for row in held if row in view.corrections]
    profiles = read_profiles(connection, Analyser(connection), changed)
    has_newer = any(row > view.tail for row in held)
    for word, weighted in zip(view.common_words, view.weighted, strict=True):
        present = np.isin(wanted, weighted.postings.rows)
        holders = set(wanted[present].tolist())
        holders |= {row for row, profile in profiles.items() if terms[word] in profile.occurrences}
        if has_newer:
            holders |= _holders(connection, word, view.tail) & held.keys()
        for row in holders:
            held[row] += weighted.weight
    return sum(weighted.weight for weighted in view.weighted)

"""How much of a question each of a few rows holds, whichever leg found them.

bm25 grows with repetition and falls with length, so a short row that repeats one word of a question
passes a row that holds all of them. Fusion asks this instead (ADR 0011).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.domain.text import quoted
from app.store.sqlite.asked_words import read_words
from app.store.sqlite.term_shares import read_averages, read_profiles
from app.store.text.bm25 import word_weight
from app.store.text.coverage import TITLE_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    import apsw
    from numpy.typing import NDArray

    from app.store.sqlite.analysis import Analyser
    from app.store.sqlite.asked_words import AskedWords
    from app.store.sqlite.common_words import CommonWords, View

_EVERY_ROW: Final = -1


@dataclass(frozen=True, slots=True)
class _Rare:
    """A word that few rows hold, and all of them."""

    term: str
    weight: float
    holders: AbstractSet[int]


class Coverage:
    """How much of one question a row holds, 0..1: the weight of the question's words in it.

    Made once a question; then any rows can be asked for. A word weighs what bm25 lets it weigh.
    Words that no row holds count too: a question of which the collection knows one word is not
    answered by that word. Words in the title count a quarter more, so 1 is a row that holds every
    word there.
    """

    def __init__(self, connection: apsw.Connection, asked: AskedWords) -> None:
        view = asked.view
        row_count = read_averages(connection).row_count
        self._term_of = {word: term for term, word in asked.words.items()}
        self._view = view
        self._rare: list[_Rare] = []
        for word in view.rare_words if view else tuple(asked.words.values()):
            holders = _holders(connection, word, _EVERY_ROW)
            weight = word_weight(len(holders), row_count)
            self._rare.append(_Rare(self._term_of[word], weight, holders))
        self._whole = sum(rare.weight for rare in self._rare)
        if view is not None:
            self._whole += sum(weighted.weight for weighted in view.weighted)
        self._whole *= 1.0 + TITLE_WEIGHT

    def of(
        self, connection: apsw.Connection, analyser: Analyser, titles: Mapping[int, str]
    ) -> dict[int, float]:
        """By row of `memories`, of the rows whose titles these are."""
        held = dict.fromkeys(titles, 0.0)
        if not self._whole or not titles:
            return held
        in_title: dict[int, AbstractSet[str]] = {}
        for term, weight, holders in self._found(connection, analyser, titles.keys()):
            for row in holders:
                if row not in in_title:
                    in_title[row] = frozenset(analyser.terms(titles[row]))
                held[row] += weight * (1.0 + TITLE_WEIGHT * (term in in_title[row]))
        return {row: min(weight / self._whole, 1.0) for row, weight in held.items()}

    def _found(
        self, connection: apsw.Connection, analyser: Analyser, rows: AbstractSet[int]
    ) -> Iterator[tuple[str, float, AbstractSet[int]]]:
        """Each word's term and weight, and which of the rows hold it."""
        for rare in self._rare:
            yield rare.term, rare.weight, rare.holders & rows
        if self._view is not None:
            yield from self._found_common(connection, analyser, self._view, rows)

    def _found_common(
        self,
        connection: apsw.Connection,
        analyser: Analyser,
        view: View,
        rows: AbstractSet[int],
    ) -> Iterator[tuple[str, float, AbstractSet[int]]]:
        """What the arrays know, and what they cannot know: rows changed or added since."""
        settled = np.array(
            [row for row in rows if row <= view.tail and row not in view.corrections], np.int32
        )
        changed = [row for row in rows if row in view.corrections]
        profiles = read_profiles(connection, analyser, changed) if changed else {}
        has_newer = any(row > view.tail for row in rows)
        for word, weighted in zip(view.common_words, view.weighted, strict=True):
            term = self._term_of[word]
            holders = _among(settled, weighted.postings.rows)
            if profiles:
                holders |= {row for row, one in profiles.items() if term in one.occurrences}
            if has_newer:
                holders |= _holders(connection, word, view.tail) & rows
            yield term, weighted.weight, holders


def coverages(
    connection: apsw.Connection,
    query: str,
    ids: Sequence[str],
    common_words: CommonWords | None = None,
) -> dict[str, float]:
    """The coverage of each row that still exists, by id; see `Coverage`.

    `common_words` changes the speed and, but for the weight of words whose rows just
    changed, not the answer.
    """
    rows = _rows_of(connection, ids)
    asked = read_words(connection, query, common_words)
    titles = {row: title for row, (_, title) in rows.items()}
    held = Coverage(connection, asked).of(connection, asked.analyser, titles)
    return {memory_id: held[row] for row, (memory_id, _) in rows.items()}


def _rows_of(connection: apsw.Connection, ids: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Rowid to id and title."""
    found = connection.execute(
        "SELECT m.rowid, m.id, m.title FROM json_each(?) AS asked"
        " CROSS JOIN memories AS m ON m.id = asked.value",
        (json.dumps(list(ids)),),
    )
    return {cast("int", row): (str(memory_id), str(title or "")) for row, memory_id, title in found}


def _holders(connection: apsw.Connection, word: str, above: int) -> set[int]:
    found = connection.execute(
        "SELECT rowid FROM memories_fts WHERE memories_fts MATCH ? AND rowid > ?",
        (quoted(word), above),
    )
    return {cast("int", row) for (row,) in found.fetchall()}


def _among(asked: NDArray[np.int32], ascending: NDArray[np.int32]) -> set[int]:
    """Those of `asked` that the other array holds."""
    if not len(ascending):
        return set()
    places = np.searchsorted(ascending, asked)
    held: list[int] = asked[ascending.take(places, mode="clip") == asked].tolist()
    return set(held)

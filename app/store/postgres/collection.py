"""What a question must know of all rows: how many there are, how long, and how rare its words.

Of a small store that is counted for every question. Of a large one a sample of its rows is kept,
which also tells what no count of single words does: how many words rows hold together. A sample
only estimates; nothing but which rows are looked at, and what a common word weighs to a few parts
in a hundred, hangs on it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.store.postgres.fragments import fragment, joined, rows
from app.store.postgres.words import Weighed
from app.store.text.bm25 import Averages, word_weight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray

    from app.store.postgres.words import Word

SMALL_ROWS: Final = 2_048
"""Stores up to this size are counted, and every row that holds a word is scored."""

_SAMPLE_ROWS: Final = 4_096
# A lexeme in fewer rows of the sample is counted in the store: their share would be a guess.
_SAMPLED_HOLDERS_MIN: Final = 32
# Only lexemes that some rows of the sample share say how words stand together.
_KEPT_HOLDERS_MIN: Final = 3
_COUNTED_MAX: Final = 4_000
# A store that grew to this many times its sampled size is sampled anew.
_GROWTH_MAX: Final = 1.5

_ROW_COUNT_GUESS: Final = (
    "(SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'memories'::regclass)"
)
_SMALL: Final = fragment(
    "SELECT count(*), coalesce(nullif(avg(search_tokens), 0), 1)::float8"
    " FROM (SELECT search_tokens FROM memories LIMIT %s) AS held",
    SMALL_ROWS + 1,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows, each with a number here. `row_count` is the whole store's when it was taken."""

    row_count: int
    tokens_a_row: float
    size: int
    holders: Mapping[str, NDArray[np.int32]]
    namespaces: Mapping[str, int]

    def count(self, lexeme: str) -> int:
        """How many of the sample hold it."""
        held = self.holders.get(lexeme)
        return 0 if held is None else len(held)

    def share(self, namespaces: Sequence[str]) -> float:
        """Of all rows, how many are in these namespaces; never 0."""
        found = sum(self.namespaces.get(one, 0) for one in namespaces)
        return max(found, 0.5) / self.size

    def weight_held(self, words: Sequence[Weighed], wanted: float) -> float:
        """What `wanted` rows of the whole store hold, or more; 0 if fewer hold anything.

        Args:
            words: From a question, without phrases.
            wanted: How many rows of the store.
        """
        held = np.zeros(self.size)
        for one in words:
            found = self.holders.get(one.word.lexeme)
            if found is not None:
                held[found] += one.weight
        place = int(np.ceil(wanted * self.size / self.row_count)) - 1
        if place >= self.size:
            return 0.0
        return float(np.partition(held, self.size - 1 - place)[self.size - 1 - place])


@dataclass(frozen=True, slots=True)
class Facts:
    """The store as one question sees it. `sample` is None where everything was counted."""

    averages: Averages
    words: Sequence[Weighed]
    sample: Sample | None


class Collection:
    """Keeps the sample; used by every thread."""

    def __init__(self) -> None:
        self._sample: Sample | None = None
        self._taking = threading.Lock()

    def facts(self, connection: psycopg.Connection, words: Sequence[Word]) -> Facts:
        """Weights of a question's words, heaviest first."""
        sample = self._sample
        if sample is None:
            row_count, tokens = rows(connection, _SMALL)[0]
            if row_count <= SMALL_ROWS:
                holders = _counted(connection, words, SMALL_ROWS + 1)[1:]
                return _facts(words, holders, Averages(row_count, tokens), None)
            sample = self._taken(connection, None)
        common = [not word.is_phrase and _is_sampled(sample, word) for word in words]
        asked = [word for word, known in zip(words, common, strict=True) if not known]
        guess, *counted = _counted(connection, asked, _COUNTED_MAX)
        if guess > sample.row_count * _GROWTH_MAX:
            sample = self._taken(connection, sample)
        exact = iter(counted)
        scale = sample.row_count / sample.size
        shares: list[float] = [
            sample.count(word.lexeme) * scale if known else next(exact)
            for word, known in zip(words, common, strict=True)
        ]
        averages = Averages(max(sample.row_count, guess), sample.tokens_a_row)
        return _facts(words, shares, averages, sample)

    def refresh(self, connection: psycopg.Connection) -> None:
        """Take the sample anew; forget it where the store is small."""
        row_count = rows(connection, _SMALL)[0][0]
        if row_count <= SMALL_ROWS:
            self._sample = None
        else:
            self._taken(connection, self._sample)

    def _taken(self, connection: psycopg.Connection, known: Sample | None) -> Sample:
        with self._taking:
            if self._sample is not None and self._sample is not known:
                return self._sample  # another thread was faster
            taken = take_sample(connection)
            self._sample = taken
            return taken


def take_sample(connection: psycopg.Connection) -> Sample:
    """Read about `_SAMPLE_ROWS` rows from blocks anywhere in the table."""
    row_count = max(rows(connection, fragment("SELECT count(*) FROM memories"))[0][0], 1)
    percent = min(100.0, 100.0 * _SAMPLE_ROWS / row_count)
    found = rows(
        connection,
        fragment(
            "SELECT namespace, search_tokens, tsvector_to_array(search)"
            " FROM memories TABLESAMPLE SYSTEM (%s)",
            percent,
        ),
    )
    holders: dict[str, list[int]] = {}
    namespaces: dict[str, int] = {}
    tokens = 0
    for number, (namespace, token_count, lexemes) in enumerate(found):
        namespaces[namespace] = namespaces.get(namespace, 0) + 1
        tokens += token_count
        for lexeme in lexemes:
            holders.setdefault(lexeme, []).append(number)
    size = max(len(found), 1)
    return Sample(
        row_count,
        max(tokens / size, 1.0),
        size,
        {
            lexeme: np.array(held, dtype=np.int32)
            for lexeme, held in holders.items()
            if len(held) >= _KEPT_HOLDERS_MIN
        },
        namespaces,
    )


def _is_sampled(sample: Sample, word: Word) -> bool:
    return sample.count(word.lexeme) >= _SAMPLED_HOLDERS_MIN


def _counted(connection: psycopg.Connection, words: Sequence[Word], most: int) -> Sequence[int]:
    """About how many rows there are, then of each word how many hold it, up to `most`."""
    counts = [
        fragment(
            "(SELECT count(*) FROM (SELECT 1 FROM memories WHERE search @@ %s::tsquery LIMIT %s)"
            " AS held)",
            word.query,
            most,
        )
        for word in words
    ]
    statement = fragment("SELECT ") + joined([fragment(_ROW_COUNT_GUESS), *counts], ", ")
    return cast("Sequence[int]", rows(connection, statement)[0])


def _facts(
    words: Sequence[Word], holders: Sequence[float], averages: Averages, sample: Sample | None
) -> Facts:
    weighed = [
        Weighed(word, word_weight(count, averages.row_count), count > 0)
        for word, count in zip(words, holders, strict=True)
    ]
    weighed.sort(key=lambda one: -one.weight)
    return Facts(averages, weighed, sample)

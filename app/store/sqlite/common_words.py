"""The postings of common words, kept in memory so that a natural question stays cheap.

FTS5 scores every row that holds any word of the question, at about a microsecond a row, and a
question at 100,000 rows easily matches half of them. bm25 is a sum over the words, and a word's
share of a row's score depends on nothing but that word, that row and the collection's averages.
So the shares of a common word are asked of FTS5 once and kept as two arrays, without the word's
own weight, which changes as the collection grows; a question then adds up weighted arrays. The
answer is the exhaustive ranking, not a guess at it.

What the arrays cannot know is added to every question: rows above `tail` (newer than the arrays)
are asked of FTS5, rows noted as changed are worked out from their text, once a change. Deleted rows
fall out when the caller joins the rows.
`refresh` moves the tail; nothing but speed depends on it being called.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from app.domain.text import STOP_WORDS, quoted
from app.store.sqlite.analysis import Analyser
from app.store.sqlite.term_shares import read_averages, read_profiles
from app.store.text.bm25 import COLUMN_WEIGHTS, Averages, Profile, word_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import apsw
    from numpy.typing import NDArray

BM25: Final = f"bm25(memories_fts, {', '.join(map(str, COLUMN_WEIGHTS))})"

COMMON_ROWS_MIN: Final = 256
"""A word in fewer rows than this is cheaper asked than kept."""

POSTING_BYTES: Final = 8
# A word's weight depends on the share of rows that hold it, which growth alone hardly moves: the
# arrays start anew only when the collection has this many times the rows that it had.
_GROWTH_MAX: Final = 2
# Rows that one refresh reads: a pause between two lets others have the processor.
_REFRESHED_ROWS_MAX: Final = 2_000
# Beyond it an array with a place for every rowid costs more than it saves.
_ROWID_MAX: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Postings:
    """One word: the rows that hold it, ascending, and its part of each one's score (> 0).

    A part times the word's weight is the share of the score.
    """

    word: str
    rows: NDArray[np.int32]
    parts: NDArray[np.float32]

    @property
    def byte_count(self) -> int:
        return len(self.rows) * POSTING_BYTES


@dataclass(slots=True)
class _Generation:
    """Arrays taken against one tail. Replaced, never reset, so that readers keep theirs."""

    tail: int
    first_tail: int
    row_count: int
    by_term: OrderedDict[str, Postings] = field(default_factory=OrderedDict)
    byte_count: int = 0


@dataclass(frozen=True, slots=True)
class _Change:
    """A changed row as it is after its change of that number."""

    number: int
    profile: Profile


_GONE: Final = Profile({}, 0)


@dataclass(frozen=True, slots=True)
class Weighted:
    """A word's postings and what the word weighs now."""

    postings: Postings
    weight: float


@dataclass(frozen=True, slots=True)
class View:
    """What one question sees: arrays of its common words, and where they stop being the truth.

    `corrections` says of each changed row what its common words are worth now.
    """

    tail: int
    corrections: Mapping[int, float]
    weighted: tuple[Weighted, ...]
    common_words: tuple[str, ...]
    rare_words: tuple[str, ...]


class CommonWords:
    """A bounded cache over one database file, shared by every reader thread.

    `bytes_max` bounds the arrays; the least recently asked words leave first.
    """

    def __init__(self, bytes_max: int = 64 * 1024 * 1024) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._generation = _Generation(tail=0, first_tail=0, row_count=0)
        self._changed: dict[int, int] = {}
        self._change_numbers = itertools.count()
        self._profiles: dict[int, _Change] = {}

    @property
    def byte_count(self) -> int:
        return self._generation.byte_count

    @property
    def word_count(self) -> int:
        return len(self._generation.by_term)

    def note_changed(self, rows: Iterable[int]) -> None:
        """Rows whose title, content or tags a committed transaction replaced or removed."""
        with self._lock:
            self._changed.update((row, next(self._change_numbers)) for row in rows)

    def forget(self) -> None:
        """Drop everything: for after a VACUUM or a restore, which may renumber rows."""
        with self._lock:
            self._generation = _Generation(tail=0, first_tail=0, row_count=0)
            self._changed.clear()
            self._profiles = {}

    def view(self, connection: apsw.Connection, words: Mapping[str, str]) -> View | None:
        """Arrays for the common ones of `words` (index term to word); None when none is common."""
        generation = self._current(connection)
        if not 0 < generation.tail <= _ROWID_MAX:
            return None
        common: dict[str, Postings] = {}
        for term, word in words.items():
            held = self._held(connection, generation, term, word)
            if held is not None:
                common[term] = held
        if not common:
            return None
        averages = read_averages(connection)
        weighted = {
            term: Weighted(held, _weight_now(held, generation.row_count, averages))
            for term, held in common.items()
        }
        return View(
            tail=generation.tail,
            corrections=self._corrections(connection, generation, weighted, averages),
            weighted=tuple(weighted.values()),
            common_words=tuple(words[term] for term in common),
            rare_words=tuple(word for term, word in words.items() if term not in common),
        )

    def warm(self, connection: apsw.Connection, should_stop: Callable[[], bool]) -> int:
        """Take the arrays of the commonest words that are no function words; how many are held.

        Reads the whole vocabulary: for a background thread with its own connection.
        """
        generation = self._current(connection)
        analyser = Analyser(connection)
        connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.memories_vocabulary "
            "USING fts5vocab(main, memories_fts, row)"
        )
        frequent = connection.execute(
            "SELECT term FROM temp.memories_vocabulary WHERE doc >= ? ORDER BY doc DESC",
            (COMMON_ROWS_MIN,),
        ).fetchall()
        for term in (str(row[0]) for row in frequent):
            if should_stop() or generation.byte_count >= self._bytes_max:
                break
            word = _a_word_of(term, analyser)
            if word is not None and not {term, word} & STOP_WORDS:
                self._held(connection, generation, term, word)
        return len(generation.by_term)

    def refresh(self, connection: apsw.Connection, tail_rows_max: int = 512) -> bool:
        """Bring the arrays nearer to the newest row; False when they are near enough.

        For a background loop, which calls again until it is told False. Rows left out are still
        found: `tail_rows_max` only bounds how many a question has to ask for itself.
        """
        generation = self._current(connection)
        behind = _newest_row(connection) - generation.tail
        with self._lock:
            changed = dict(self._changed)
        if behind <= tail_rows_max and len(changed) <= tail_rows_max:
            return False
        newest = generation.tail + min(behind, _REFRESHED_ROWS_MAX)
        rows = {*(row for row in changed if row <= newest), *range(generation.tail + 1, newest + 1)}
        profiles = read_profiles(connection, Analyser(connection), rows)
        averages = read_averages(connection)
        # What is left above the new tail counts as much as what the arrays hold below it.
        left = behind - (newest - generation.tail)
        fresh = _Generation(newest, generation.first_tail, max(averages.row_count - left, 1))
        with self._lock:
            held = list(generation.by_term.items())
        gains = _gains(profiles, {term for term, _ in held}, averages)
        stale = np.array(list(changed), dtype=np.int64)
        for term, old in held:
            postings = _brought_up(old, stale, gains.get(term, []))
            fresh.by_term[term] = postings
            fresh.byte_count += postings.byte_count
        with self._lock:
            if self._generation is generation:
                self._generation = fresh
                for row, number in changed.items():
                    if self._changed.get(row) == number:
                        del self._changed[row]
                        self._profiles.pop(row, None)
        return True

    def _corrections(
        self,
        connection: apsw.Connection,
        generation: _Generation,
        weighted: Mapping[str, Weighted],
        averages: Averages,
    ) -> dict[int, float]:
        with self._lock:
            changed = {row: n for row, n in self._changed.items() if row <= generation.tail}
        if not changed:
            return {}
        unread = [
            row
            for row, number in changed.items()
            if row not in self._profiles or self._profiles[row].number != number
        ]
        if unread:
            read = read_profiles(connection, Analyser(connection), unread)
            for row in unread:
                self._profiles[row] = _Change(changed[row], read.get(row, _GONE))
        return {
            row: sum(
                held.weight * self._profiles[row].profile.part(term, averages)
                for term, held in weighted.items()
            )
            for row in changed
        }

    def _current(self, connection: apsw.Connection) -> _Generation:
        generation = self._generation
        newest = _newest_row(connection)
        if generation.tail <= newest <= generation.first_tail * _GROWTH_MAX:
            return generation
        with self._lock:
            if self._generation is generation:
                # Too few rows for any word to be common: tail 0 says so and costs nothing.
                tail = newest if newest >= COMMON_ROWS_MIN else 0
                row_count = read_averages(connection).row_count
                self._generation = _Generation(tail, first_tail=tail, row_count=row_count)
                self._changed.clear()
                self._profiles = {}
            return self._generation

    def _held(
        self, connection: apsw.Connection, generation: _Generation, term: str, word: str
    ) -> Postings | None:
        with self._lock:
            held = generation.by_term.get(term)
            if held is not None:
                generation.by_term.move_to_end(term)
                return held
        # A word that the index holds as several terms is a phrase: always asked.
        if " " in term or not _is_common(connection, word):
            return None
        postings = _asked(connection, word, generation.tail)
        with self._lock:
            if term not in generation.by_term:
                generation.by_term[term] = postings
                generation.byte_count += postings.byte_count
            while generation.byte_count > self._bytes_max and len(generation.by_term) > 1:
                _, evicted = generation.by_term.popitem(last=False)
                generation.byte_count -= evicted.byte_count
        return postings


def _a_word_of(term: str, analyser: Analyser) -> str | None:
    """A word that the index holds as `term`: a stem need not be its own stem ("happi").

    Words whose form is not guessed here are loaded when they are asked.
    """
    guesses = (term, f"{term}e", f"{term.removesuffix('i')}y", f"{term}s", f"{term}ing")
    return next((word for word in guesses if analyser.terms(word) == (term,)), None)


def _newest_row(connection: apsw.Connection) -> int:
    row = connection.execute("SELECT max(rowid) FROM memories").fetchone()
    return int(row[0] or 0) if row else 0


def _is_common(connection: apsw.Connection, word: str) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM memories_fts WHERE memories_fts MATCH ? LIMIT ?)",
        (quoted(word), COMMON_ROWS_MIN),
    ).fetchone()
    return row is not None and int(row[0]) >= COMMON_ROWS_MIN


def _asked(connection: apsw.Connection, word: str, tail: int) -> Postings:
    found = connection.execute(
        f"SELECT rowid, -{BM25} FROM memories_fts WHERE memories_fts MATCH ?",  # noqa: S608 - own literal
        (quoted(word),),
    ).fetchall()
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    weight = word_weight(len(table), read_averages(connection).row_count)
    table = table[table[:, 0] <= tail]
    table = table[np.argsort(table[:, 0], kind="stable")]
    parts = (table[:, 1] / weight).astype(np.float32)
    return Postings(word, table[:, 0].astype(np.int32), parts)


def _weight_now(postings: Postings, row_count: int, averages: Averages) -> float:
    """Rows above the tail are taken to hold the word as often as the `row_count` below it."""
    holders = len(postings.rows) * averages.row_count / max(row_count, 1)
    return word_weight(min(holders, averages.row_count), averages.row_count)


def _gains(
    profiles: Mapping[int, Profile], terms: set[str], averages: Averages
) -> dict[str, list[tuple[int, float]]]:
    gains: dict[str, list[tuple[int, float]]] = {}
    for row, profile in profiles.items():
        for term in profile.occurrences.keys() & terms:
            gains.setdefault(term, []).append((row, profile.part(term, averages)))
    return gains


def _brought_up(
    old: Postings, stale: NDArray[np.int64], gained: list[tuple[int, float]]
) -> Postings:
    if not len(stale) and not gained:
        return old
    kept = ~np.isin(old.rows, stale)
    table = np.array(gained, dtype=np.float64).reshape(-1, 2)
    rows = np.concatenate([old.rows[kept], table[:, 0].astype(np.int32)])
    parts = np.concatenate([old.parts[kept], table[:, 1].astype(np.float32)])
    order = np.argsort(rows, kind="stable")
    return Postings(old.word, rows[order], parts[order])

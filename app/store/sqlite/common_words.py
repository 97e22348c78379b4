"""The postings of common words, kept in memory so that a natural question stays cheap.

FTS5 scores every row that holds any word of the question, at about a microsecond a row, and a
question at 100,000 rows easily matches half of them. bm25 is a sum over the words, and a word's
share of a row's score depends on nothing but that word, that row and the collection's averages.
So the shares of a common word are asked of FTS5 once and kept as two arrays; a question then adds
up arrays. The answer is the exhaustive ranking, not a guess at it.

What the arrays cannot know is asked of FTS5 itself at every question: rows above `tail` (newer
than the arrays) and rows noted as changed. Deleted rows fall out when the caller joins the rows.
`refresh` moves the tail; nothing but speed depends on it being called.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from app.domain.text import STOP_WORDS, quoted
from app.store.sqlite.analysis import Analyser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import apsw
    from numpy.typing import NDArray

# Column weights of bm25: title, content, tags (docs/adr, text leg).
BM25: Final = "bm25(memories_fts, 3.0, 1.0, 1.0)"

COMMON_ROWS_MIN: Final = 256
"""A word in fewer rows than this is cheaper asked than kept."""

POSTING_BYTES: Final = 8
# A word's weight depends on the share of rows that hold it, which growth alone hardly moves: the
# arrays start anew only when the collection has this many times the rows that it had.
_GROWTH_MAX: Final = 2
# Beyond it an array with a place for every rowid costs more than it saves.
_ROWID_MAX: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Postings:
    """One word: the rows that hold it, each once, and its share of each one's score (> 0)."""

    word: str
    rows: NDArray[np.int32]
    shares: NDArray[np.float32]

    @property
    def byte_count(self) -> int:
        return len(self.rows) * POSTING_BYTES


@dataclass(slots=True)
class _Generation:
    """Arrays taken against one tail. Replaced, never reset, so that readers keep theirs."""

    tail: int
    first_tail: int
    by_term: OrderedDict[str, Postings] = field(default_factory=OrderedDict)
    byte_count: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """What one question sees: arrays of its common words, and where they stop being the truth."""

    tail: int
    changed: tuple[int, ...]
    postings: tuple[Postings, ...]
    common_words: tuple[str, ...]
    rare_words: tuple[str, ...]


class CommonWords:
    """A bounded cache over one database file, shared by every reader thread.

    `bytes_max` bounds the arrays; the least recently asked words leave first.
    """

    def __init__(self, bytes_max: int = 64 * 1024 * 1024) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._generation = _Generation(tail=0, first_tail=0)
        self._changed: dict[int, int] = {}
        self._change_numbers = itertools.count()

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
            self._generation = _Generation(tail=0, first_tail=0)
            self._changed.clear()

    def view(self, connection: apsw.Connection, words: Mapping[str, str]) -> View | None:
        """Arrays for the common ones of `words` (index term to word); None when none is common."""
        generation = self._current(connection)
        if not 0 < generation.tail <= _ROWID_MAX:
            return None
        common: dict[str, Postings] = {}
        for term, word in words.items():
            held = self._held(connection, generation, term, word)
            if held is not None:
                common[word] = held
        if not common:
            return None
        return View(
            tail=generation.tail,
            changed=tuple(self._changed),
            postings=tuple(common.values()),
            common_words=tuple(common),
            rare_words=tuple(word for word in words.values() if word not in common),
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
        """Bring the arrays up to the newest row; whether anything was done."""
        generation = self._current(connection)
        newest = _newest_row(connection)
        with self._lock:
            changed = dict(self._changed)
        if newest - generation.tail <= tail_rows_max and len(changed) <= tail_rows_max:
            return False
        fresh = _Generation(tail=newest, first_tail=generation.first_tail)
        with self._lock:
            held = list(generation.by_term.items())
        for term, old in held:
            postings = _brought_up(connection, old, generation.tail, newest, tuple(changed))
            fresh.by_term[term] = postings
            fresh.byte_count += postings.byte_count
        with self._lock:
            if self._generation is generation:
                self._generation = fresh
                for row, number in changed.items():
                    if self._changed.get(row) == number:
                        del self._changed[row]
        return True

    def _current(self, connection: apsw.Connection) -> _Generation:
        generation = self._generation
        newest = _newest_row(connection)
        if generation.tail <= newest <= generation.first_tail * _GROWTH_MAX:
            return generation
        with self._lock:
            if self._generation is generation:
                # Too few rows for any word to be common: tail 0 says so and costs nothing.
                tail = newest if newest >= COMMON_ROWS_MIN else 0
                self._generation = _Generation(tail=tail, first_tail=tail)
                self._changed.clear()
            return self._generation

    def _held(
        self, connection: apsw.Connection, generation: _Generation, term: str, word: str
    ) -> Postings | None:
        with self._lock:
            held = generation.by_term.get(term)
            if held is not None:
                generation.by_term.move_to_end(term)
                return held
        if not _is_common(connection, word):
            return None
        postings = _asked(connection, word, "rowid <= ?", generation.tail)
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


def _asked(
    connection: apsw.Connection, word: str, condition: str, *parameters: int | str
) -> Postings:
    # `condition` is one of this module's own literals.
    found = connection.execute(
        f"SELECT rowid, -{BM25} FROM memories_fts WHERE memories_fts MATCH ? AND {condition}",  # noqa: S608
        (quoted(word), *parameters),
    ).fetchall()
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    return Postings(word, table[:, 0].astype(np.int32), table[:, 1].astype(np.float32))


def _brought_up(
    connection: apsw.Connection, old: Postings, tail: int, newest: int, changed: tuple[int, ...]
) -> Postings:
    parts = [old, _asked(connection, old.word, "rowid > ? AND rowid <= ?", tail, newest)]
    if changed:
        kept = ~np.isin(old.rows, np.array(changed, dtype=np.int64))
        parts[0] = Postings(old.word, old.rows[kept], old.shares[kept])
        below = json.dumps([row for row in changed if row <= tail])
        parts.append(
            _asked(connection, old.word, "rowid IN (SELECT value FROM json_each(?))", below)
        )
    return Postings(
        old.word,
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.shares for part in parts]),
    )

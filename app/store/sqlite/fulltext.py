"""The text leg on SQLite: bm25 over title, content and tags, filtered before the limit.

`search_all` wants every word (the search route), `search_any` any of them (recall). Both take a
condition over the alias `m` of `memories`, built by whoever knows what the caller may see.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import numpy as np

from app.domain.text import fts5_all_of, fts5_any_of, parse_query
from app.store.sqlite.asked_words import read_words
from app.store.sqlite.common_words import BM25

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw
    from numpy.typing import NDArray

    from app.store.sqlite.asked_words import AskedWords
    from app.store.sqlite.common_words import CommonWords, View

Parameter: TypeAlias = "str | int | float | bytes | None"

# How many of the best rows are shown to the filter at first, and how often more are, before the
# rows that it lets through are enumerated instead.
_LOOK_AHEAD: Final = 3
_LOOK_AHEAD_MIN: Final = 64
_LOOK_AHEAD_GROWTH: Final = 12
_LOOKS_MAX: Final = 2
# A falling bar finds the best rows without ordering them all.
_BAR_STEP: Final = 0.75
_BAR_STEPS_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class TextHit:
    """One row found; `score` is bm25 turned round, so that larger is better and above 0."""

    row: int
    id: str
    score: float


def search_all(
    connection: apsw.Connection,
    query: str,
    where_sql: str,
    parameters: Sequence[Parameter],
    limit: int,
) -> list[TextHit]:
    """Rows that hold every token of `query`, best first."""
    expression = fts5_all_of(parse_query(query))
    return _ranked(connection, expression, where_sql, parameters, limit)


def search_any(
    connection: apsw.Connection,
    query: str,
    where_sql: str,
    parameters: Sequence[Parameter],
    limit: int,
    common_words: CommonWords | None = None,
) -> list[TextHit]:
    """Rows that hold any word of `query` that is no function word, best first.

    A question of function words only is asked as it stands. `common_words` changes the speed
    and, within float32, not the answer.
    """
    asked = read_words(connection, query, common_words)
    return search_asked(connection, asked, where_sql, parameters, limit)


def search_asked(
    connection: apsw.Connection,
    asked: AskedWords,
    where_sql: str,
    parameters: Sequence[Parameter],
    limit: int,
) -> list[TextHit]:
    """As `search_any`, for words that were read already."""
    if asked.view is None:
        expression = fts5_any_of(tuple(asked.words.values()))
        return _ranked(connection, expression, where_sql, parameters, limit)
    scores = _all_scores(connection, asked.view)
    return _best_allowed(connection, scores, where_sql, parameters, limit)


def _ranked(
    connection: apsw.Connection,
    expression: str | None,
    where_sql: str,
    parameters: Sequence[Parameter],
    limit: int,
) -> list[TextHit]:
    if expression is None or limit <= 0:
        return []
    # The cross join keeps the text index outermost: the filter only ever sees matching rows, and
    # only rows that pass it are scored.
    found = connection.execute(
        f"SELECT m.rowid, m.id, {BM25} AS badness FROM memories_fts"  # noqa: S608 - `where_sql` is the store's own
        f" CROSS JOIN memories AS m ON m.rowid = memories_fts.rowid"
        f" WHERE memories_fts MATCH ? AND ({where_sql}) ORDER BY badness, m.id LIMIT ?",
        (expression, *parameters, limit),
    )
    return [TextHit(row, memory_id, -badness) for row, memory_id, badness in found]


def _all_scores(connection: apsw.Connection, view: View) -> NDArray[np.float32]:
    """The score of every row, at its rowid: the arrays' sum and what they cannot know."""
    newer = _scores_of(connection, view.common_words, "rowid > ?", view.tail)
    rare = _scores_of(connection, view.rare_words, "rowid > ?", -1)
    top = max((row for row, _ in newer + rare), default=0)
    scores = np.zeros(max(top, view.tail) + 1, dtype=np.float32)
    for held in view.weighted:
        scores[held.postings.rows] += held.postings.parts * np.float32(held.weight)
    for row, score in view.corrections.items():
        scores[row] = score
    for row, score in newer + rare:
        scores[row] += score
    return scores


def _scores_of(
    connection: apsw.Connection, words: tuple[str, ...], condition: str, parameter: int
) -> list[tuple[int, float]]:
    if not words:
        return []
    found = connection.execute(
        f"SELECT rowid, -{BM25} FROM memories_fts WHERE memories_fts MATCH ? AND {condition}",  # noqa: S608 - own literals
        (fts5_any_of(words), parameter),
    )
    return cast("list[tuple[int, float]]", found.fetchall())


def _best_allowed(
    connection: apsw.Connection,
    scores: NDArray[np.float32],
    where_sql: str,
    parameters: Sequence[Parameter],
    limit: int,
) -> list[TextHit]:
    if limit <= 0:
        return []
    ahead = max(limit * _LOOK_AHEAD, _LOOK_AHEAD_MIN)
    for _ in range(_LOOKS_MAX):
        best = _best_rows(scores, ahead)
        hits = _allowed(connection, best, scores, where_sql, parameters)
        if len(hits) >= limit or len(best) < ahead:
            return _first(hits, limit)
        if len(hits) * _LOOK_AHEAD_GROWTH < limit:
            break
        ahead *= _LOOK_AHEAD_GROWTH
    # A narrow filter: cheaper to ask which rows it lets through than to keep looking.
    rows = connection.execute(
        f"SELECT m.rowid, m.id FROM memories AS m WHERE ({where_sql})",  # noqa: S608 - the store's own
        tuple(parameters),
    )
    return _first(_hits(rows, scores), limit)


def _first(hits: list[TextHit], limit: int) -> list[TextHit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:limit]


def _best_rows(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """The `count` best rows, unordered; fewer only when fewer match."""
    bar = float(scores.max())
    rows = np.flatnonzero(scores >= bar)
    for _ in range(_BAR_STEPS_MAX):
        if len(rows) >= count:
            break
        bar *= _BAR_STEP
        rows = np.flatnonzero(scores >= bar)
    if len(rows) < count or bar <= 0.0:
        rows = np.flatnonzero(scores > 0.0)
    if len(rows) <= count:
        return rows
    return rows[np.argpartition(scores[rows], len(rows) - count)[-count:]]


def _allowed(
    connection: apsw.Connection,
    rows: NDArray[np.intp],
    scores: NDArray[np.float32],
    where_sql: str,
    parameters: Sequence[Parameter],
) -> list[TextHit]:
    found = connection.execute(
        f"SELECT m.rowid, m.id FROM json_each(?) AS asked"  # noqa: S608 - `where_sql` is the store's own
        f" CROSS JOIN memories AS m ON m.rowid = asked.value WHERE ({where_sql})",
        (json.dumps(rows.tolist()), *parameters),
    )
    return _hits(found, scores)


def _hits(found: apsw.Cursor, scores: NDArray[np.float32]) -> list[TextHit]:
    return [
        TextHit(row, memory_id, float(scores[row]))
        for row, memory_id in cast("list[tuple[int, str]]", found.fetchall())
        if row < len(scores) and scores[row] > 0.0
    ]

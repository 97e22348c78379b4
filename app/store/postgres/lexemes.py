"""The column `search`: a row's terms as a tsvector, the same terms that SQLite's index holds.

Positions count terms, so that a phrase can be asked for; a class tells the column that a term
stands in. What a tsvector cannot hold of a very long text is left out of it, and the row says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.store.text.analysis import own_analysis

if TYPE_CHECKING:
    from collections.abc import Iterable

CLIPPED: Final = "…"
"""A lexeme of rows whose positions are not all here. No term is like it: terms hold no marks."""

TITLE, CONTENT, TAGS = "A", "B", "C"

# postgresql.org/docs/current/textsearch-limits.html, each with a little room.
_LEXEME_BYTES_MAX: Final = 2_046
_POSITION_MAX: Final = 16_383
_POSITIONS_A_LEXEME_MAX: Final = 255
_VECTOR_BYTES_MAX: Final = 1_000_000

# A lexeme that only stands further back gets the last position, which is next to no other.
_LAST_PLACE: Final = _POSITION_MAX - 2
# Between columns, so that no phrase reaches over.
_GAP: Final = 2

# fts5_tokenize.c cuts longer tokens.
_TERM_BYTES_MAX: Final = 32_768
_SHOWN_CHARACTERS: Final = 64
_ENTRY_BYTES: Final = 8
_POSITION_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class SearchText:
    """What a row's text is to the index: a literal of type tsvector, and its length in terms."""

    vector: str
    token_count: int


def search_text(title: str, content: str, tags: str) -> SearchText:
    """The search columns of a row. Pure.

    Args:
        title: As the row shows it.
        content: As the row shows it.
        tags: The column's JSON text, because that is what SQLite's index reads.
    """
    analysis = own_analysis()
    places: dict[str, list[str]] = {}
    position = 1
    token_count = 0
    clipped = False
    for letter, text in ((TITLE, title), (CONTENT, content), (TAGS, tags)):
        terms = analysis.terms(text)
        token_count += len(terms)
        for number, term in enumerate(terms, position):
            held = places.setdefault(term, [])
            if number <= _LAST_PLACE and len(held) < _POSITIONS_A_LEXEME_MAX:
                held.append(f"{number}{letter}")
                continue
            clipped = True
            if not held:
                held.append(f"{_POSITION_MAX}{letter}")
        position += len(terms) + _GAP - 1
    entries = [f"{_quoted(lexeme(term))}:{','.join(held)}" for term, held in _fitting(places)]
    if clipped or len(entries) < len(places):
        entries.append(_quoted(CLIPPED))
    return SearchText(" ".join(entries), token_count)


def lexeme(term: str) -> str:
    """A term as a tsvector holds it: long ones by their hash."""
    if len(term) * 4 <= _LEXEME_BYTES_MAX:
        return term
    whole = term.encode()
    if len(whole) <= _LEXEME_BYTES_MAX:
        return term
    digest = hashlib.sha256(whole[:_TERM_BYTES_MAX]).hexdigest()
    return f"{term[:_SHOWN_CHARACTERS]}{CLIPPED}{digest}"


def one_of(term: str, letter: str = "") -> str:
    """A tsquery that wants one term, of a class if one is given."""
    return f"{_quoted(lexeme(term))}:{letter}" if letter else _quoted(lexeme(term))


def _fitting(places: dict[str, list[str]]) -> Iterable[tuple[str, list[str]]]:
    """As many as a tsvector has room for: all, of any text that a memory may hold."""
    left = _VECTOR_BYTES_MAX
    for term, held in places.items():
        left -= min(len(term.encode()), _LEXEME_BYTES_MAX)
        left -= _ENTRY_BYTES + _POSITION_BYTES * len(held)
        if left < 0:
            return
        yield term, held


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"

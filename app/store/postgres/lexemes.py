"""The column `search`: a row's terms as a tsvector, the same terms that SQLite's index holds.

Positions count terms, so that a phrase can be asked for; a class tells the column that a term
stands in. What a tsvector cannot hold of a very long text is left out of it, and the row says so.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.store.text.analysis import own_analysis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
_ENTRY_BYTES: Final = 10
_POSITION_BYTES: Final = 2
_CHARACTER_BYTES_MAX: Final = 4

# src/backend/utils/adt/tsvector.c, tsvectorsend: a count of lexemes; of each its text with a zero
# behind, a count of positions, and these with their class in the upper two bits.
_COUNT: Final = struct.Struct(">i")
_HOW_MANY: Final = [
    b"\0" + struct.pack(">H", count) for count in range(_POSITIONS_A_LEXEME_MAX + 1)
]
_PLACE: Final = struct.Struct(">H")
_CLASSES: Final = {TITLE: 3 << 14, CONTENT: 2 << 14, TAGS: 1 << 14}
_LETTERS: Final = ("D", TAGS, CONTENT, TITLE)
_KNOWN_PLACES: Final = 2_048  # as many terms as all but long texts have


@dataclass(frozen=True, slots=True)
class SearchText:
    """What a row's text is to the index.

    Attributes:
        places: Lexeme to its positions, ascending, each two bytes as `tsvector` packs them.
        token_count: The row's length in terms.
    """

    places: Mapping[str, bytes]
    token_count: int

    @property
    def packed(self) -> bytes:
        """A tsvector in the server's binary form: no text of it is made here and read there."""
        parts = [_COUNT.pack(len(self.places))]
        for term, held in self.places.items():
            parts += (term.encode(), _HOW_MANY[len(held) // _POSITION_BYTES], held)
        return b"".join(parts)

    @property
    def literal(self) -> str:
        """The same as text."""
        return " ".join(f"{_quoted(term)}{_shown(held)}" for term, held in self.places.items())


def search_text(title: str, content: str, tags: str) -> SearchText:
    """The search columns of a row. Pure.

    Args:
        title: As the row shows it.
        content: As the row shows it.
        tags: The column's JSON text, because that is what SQLite's index reads.
    """
    analysis = own_analysis()
    places: dict[str, bytes] = {}
    position = 1
    token_count = 0
    clipped = False
    for letter, text in ((TITLE, title), (CONTENT, content), (TAGS, tags)):
        terms = analysis.terms(text)
        count = len(terms)
        token_count += count
        fitting = min(count, max(_LAST_PLACE + 1 - position, 0))
        for term, place in zip(terms[:fitting], _packed(letter, position, fitting), strict=True):
            places[term] = places[term] + place if term in places else place
        if fitting < count:
            clipped = True
            (last,) = _packed(letter, _POSITION_MAX, 1)
            for term in terms[fitting:]:
                places.setdefault(term, last)
        position += count + _GAP - 1
    fitted, is_whole = _fitted(places, token_count)
    if clipped or not is_whole:
        fitted[CLIPPED] = b""
    return SearchText(fitted, token_count)


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


def _packed(letter: str, start: int, count: int) -> Sequence[bytes]:
    """So many positions of a class, from `start` on."""
    known = _PLACES[letter]
    if start + count <= len(known):
        return known[start : start + count]
    return _places(letter, start, count)


def _places(letter: str, start: int, count: int) -> list[bytes]:
    first = _CLASSES[letter] | start
    return [_PLACE.pack(place) for place in range(first, first + count)]


def _shown(held: bytes) -> str:
    shown = [f"{one & _POSITION_MAX}{_LETTERS[one >> 14]}" for (one,) in _PLACE.iter_unpack(held)]
    return f":{','.join(shown)}" if shown else ""


def _fitted(places: dict[str, bytes], token_count: int) -> tuple[dict[str, bytes], bool]:
    """As much as a tsvector has room for, and whether that is all, as of any usual text."""
    longest = _CHARACTER_BYTES_MAX * max(map(len, places), default=0)
    if (
        token_count <= _POSITIONS_A_LEXEME_MAX
        and longest <= _LEXEME_BYTES_MAX
        and token_count * (longest + _ENTRY_BYTES) <= _VECTOR_BYTES_MAX
    ):
        return places, True
    fitted: dict[str, bytes] = {}
    is_whole = True
    left = _VECTOR_BYTES_MAX
    for term, held in places.items():
        kept = held[: _POSITIONS_A_LEXEME_MAX * _POSITION_BYTES]
        left -= min(len(term.encode()), _LEXEME_BYTES_MAX) + _ENTRY_BYTES + len(kept)
        if left < 0:
            return fitted, False
        is_whole = is_whole and len(kept) == len(held)
        fitted[lexeme(term)] = kept
    return fitted, is_whole


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


_PLACES: Final = {letter: _places(letter, 0, _KNOWN_PLACES) for letter in _CLASSES}

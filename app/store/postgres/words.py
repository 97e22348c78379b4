"""A question's words as tsqueries, and the query for rows that hold enough of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.text import parse_query
from app.store.postgres.lexemes import CLIPPED, lexeme, one_of
from app.store.text.analysis import own_analysis

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Word:
    """One word or phrase: its terms, in order and next to one another."""

    terms: tuple[str, ...]

    @property
    def is_phrase(self) -> bool:
        return len(self.terms) > 1

    @property
    def lexeme(self) -> str:
        """Of a word that is no phrase."""
        return lexeme(self.terms[0])

    @property
    def query(self) -> str:
        """Rows that hold it."""
        # In brackets: a phrase binds closer than what it may stand beside, a reader need not know.
        joined = " <-> ".join(map(one_of, self.terms))
        return f"({joined})" if self.is_phrase else joined

    @property
    def loose_query(self) -> str:
        """Rows that hold its terms wherever they stand."""
        return f"({' & '.join(map(one_of, self.terms))})"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A word, what it tells, and whether any row holds it."""

    word: Word
    weight: float
    is_held: bool


def any_words(query: str) -> list[Word]:
    """Those of a question that are no function words (all, if there are no others), each once."""
    found = own_analysis().distinct(parse_query(query).content_words)
    return [Word(tuple(terms.split(" "))) for terms in found]


def all_words(query: str) -> list[Word]:
    """What `search` wants of a row: every token, as a phrase if the index splits it."""
    analysis = own_analysis()
    found = (analysis.terms(token) for token in parse_query(query).tokens)
    return [Word(terms) for terms in dict.fromkeys(found) if terms]


def wants_any(words: Sequence[Word]) -> str:
    """Rows that hold one of them."""
    return " | ".join(word.query for word in words)


def wants_all(words: Sequence[Word]) -> str:
    """Rows that hold all of them, phrases as far as positions tell."""
    return " & ".join(word.query for word in words)


def may_want_all(words: Sequence[Word]) -> str:
    """Rows whose positions do not tell whether they hold all of them."""
    return " & ".join([one_of(CLIPPED), *(word.loose_query for word in words)])


def wants_weight(words: Sequence[Weighed], least: float, words_most: int) -> str | None:
    """Rows whose words weigh at least so much together; `words` from the heaviest on.

    None if that takes a query that names words more than `words_most` times: the server looks at
    all of it for every row that it comes by.

    Raises:
        ValueError: all of them weigh less.
    """
    try:
        found = _Query(words_most).at_least(tuple(words), least)
    except _TooLongError:
        return None
    if found is None:
        raise ValueError(f"the words do not weigh {least}")
    return found or wants_any([one.word for one in words])


class _TooLongError(Exception):
    """The query would be longer than wanted."""


@dataclass(slots=True)
class _Query:
    """A query that is being written. `left`: how many words it may still name."""

    left: int

    def at_least(self, words: tuple[Weighed, ...], least: float) -> str | None:
        """None: impossible; empty: always."""
        if least <= 0.0:
            return ""
        if sum(one.weight for one in words) < least:
            return None
        first, rest = words[0], words[1:]
        others = self.at_least(rest, least - first.weight)
        without = self.at_least(rest, least)
        if others is None:  # not even all of them
            return without
        self.left -= 1
        if self.left < 0:
            raise _TooLongError
        with_first = f"({first.word.query} & {others})" if others else first.word.query
        return f"({with_first} | {without})" if without else with_first

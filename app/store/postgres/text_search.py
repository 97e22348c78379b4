"""The text leg on PostgreSQL: bm25 as on SQLite, worked out of tsvectors by the server.

A natural question matches half of all rows, at some microseconds each. The best rows are among
those that hold most of it by weight, so the index is asked for rows that hold enough: GIN then
walks the rare words' lists and only looks up the common ones. How much is enough is read off a
sample (see `collection`); if too few rows came, less is. Every way of holding enough is written out
in the query, so the lightest of many words do not decide.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from app.store.postgres.fragments import Fragment, fragment, joined, rows
from app.store.postgres.lexemes import TITLE, one_of
from app.store.postgres.words import (
    all_words,
    any_words,
    may_want_all,
    wants_all,
    wants_any,
    wants_weight,
)
from app.store.protocol import ScoredId
from app.store.text.analysis import own_analysis
from app.store.text.bm25 import COLUMN_WEIGHTS, K1, B
from app.store.text.coverage import TITLE_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from app.store.postgres.collection import Collection, Facts
    from app.store.postgres.words import Weighed, Word

# Words that are scored, and words that decide which rows are: the heaviest that any row holds.
_SCORED_MAX: Final = 32
_DECIDING_MAX: Final = 10
# How often the query may name words: of natural questions it gets 36 long without a bound, and the
# index takes twice as long as with this one; 98.7 % of the ten best are found instead of 99.8 %.
_NAMED_MAX: Final = 24
# Rows to be scored: those holding most of the question. Of 100,000 real texts 200 had 99.7 % of
# the ten best, and 400 all.
_SCORED_ROWS: Final = 400
_SCORED_ROWS_A_HIT: Final = 12
# Of a filter's rows so few may be scored before more of the question's rows are looked at.
_ENOUGH_A_HIT: Final = 4
_LOOKS_MAX: Final = 3
# Sums of weights in another order differ in their last digits.
_ROUNDING: Final = 1.0 - 1e-9

# ts_rank of one term in n places of equal class is the sum of 1/i² up to n, over its limit. It is
# the one function that counts places without unpacking the vector, so this is read backwards.
_LIMIT: Final = 1.64493406685
_COUNTED_PLACES: Final = 64
_SUMS: Final = accumulate(1 / place**2 for place in range(1, _COUNTED_PLACES + 1))
_RANKS: Final = (0.0, *(part / _LIMIT for part in _SUMS))
_STEPS: Final = [(low + high) / 2 for low, high in pairwise(_RANKS)]
_STEPS_ARRAY: Final = f"'{{{','.join(map(repr, _STEPS))}}}'::float8[]"
_ANYWHERE: Final = "'{1,1,1,1}'"
_IN_TITLE: Final = "'{0,0,0,1}'"
_TITLE_EXTRA: Final = COLUMN_WEIGHTS[0] - COLUMN_WEIGHTS[1]


def asked(connection: psycopg.Connection, collection: Collection, query: str) -> Facts | None:
    """What a question's words weigh; None if it has none. Function words count if no others are."""
    words = any_words(query)
    return collection.facts(connection, words) if words else None


def search_any(
    connection: psycopg.Connection,
    facts: Facts,
    condition: Fragment,
    namespaces: Sequence[str],
    limit: int,
) -> list[ScoredId]:
    """Rows that hold any word of a question, best first.

    Args:
        connection: In a reading transaction.
        facts: Of the question's words.
        condition: Filters `memories`.
        namespaces: Which of them the condition lets through, if it names any.
        limit: How many rows at most.
    """
    if limit <= 0:
        return []
    held = [one for one in facts.words if one.is_held]
    if not held:
        return []
    wanted = float(max(_SCORED_ROWS, _SCORED_ROWS_A_HIT * limit))
    if facts.sample is not None and namespaces:
        wanted /= facts.sample.share(namespaces)
    found: list[ScoredId] = []
    for look in range(_LOOKS_MAX):
        heavy = None if look == _LOOKS_MAX - 1 else _heavy(facts, held, wanted)
        query = heavy or wants_any([one.word for one in held[:_SCORED_MAX]])
        wants = fragment("search @@ %s::tsquery", query)
        found, seen = _best(connection, facts, wants, condition, limit)
        enough = _ENOUGH_A_HIT * limit
        if heavy is None or seen >= enough:
            break
        wanted *= max(2.0 * enough / max(seen, 1), 2.0)
    return found


def search_all(
    connection: psycopg.Connection,
    collection: Collection,
    query: str,
    condition: Fragment,
    limit: int,
) -> list[ScoredId]:
    """Rows that hold every token of `query`, best first."""
    words = all_words(query)
    if not words or limit <= 0:
        return []
    facts = collection.facts(connection, words)
    wants = fragment("search @@ %s::tsquery", wants_all(words))
    if any(word.is_phrase for word in words):
        unclear = _unclear(connection, words, condition)
        wants = fragment("(") + wants + fragment(" OR id = ANY (%s))", unclear)
    found, _ = _best(connection, facts, wants, condition, limit)
    return found


def coverage_of(facts: Facts | None) -> Fragment:
    """What a select of `memories` gives as a row's coverage of a question, 0..1.

    See `app.store.text.coverage`: the weight of the words that the row holds, of all words' weight.
    `facts` are None for a question without words.
    """
    if facts is None:
        return fragment("0::float8")
    whole = sum(one.weight for one in facts.words) * (1.0 + TITLE_WEIGHT)
    parts = [_held(one.word, one.weight / whole) for one in _scored(facts)]
    if not parts:
        return fragment("0::float8")
    return fragment("least(") + joined(parts, " + ") + fragment(", 1.0)")


def _held(word: Word, share: float) -> Fragment:
    anywhere = fragment("%s::float8 * (search @@ %s::tsquery)::int", share, word.query)
    if word.is_phrase:
        return anywhere
    extra = share * TITLE_WEIGHT
    in_title = one_of(word.terms[0], TITLE)
    return anywhere + fragment(" + %s::float8 * (search @@ %s::tsquery)::int", extra, in_title)


def _heavy(facts: Facts, held: Sequence[Weighed], wanted: float) -> str | None:
    """A query for the rows that hold most by weight, about `wanted` of them; None: for any."""
    if facts.sample is None:
        return None
    for count in range(min(len(held), _DECIDING_MAX), 0, -1):
        deciding = held[:count]
        single = [one for one in deciding if not one.word.is_phrase]
        least = facts.sample.weight_held(single, wanted) * _ROUNDING
        if least <= 0.0:
            return None
        query = wants_weight(deciding, least, _NAMED_MAX)
        if query is not None:
            return query
    return None


def _scored(facts: Facts) -> Sequence[Weighed]:
    return [one for one in facts.words if one.is_held][:_SCORED_MAX]


def _best(
    connection: psycopg.Connection,
    facts: Facts,
    wants: Fragment,
    condition: Fragment,
    limit: int,
) -> tuple[list[ScoredId], int]:
    """The best of the rows that are wanted and let through, and how many of these there are."""
    scored = _scored(facts)
    places = joined([_places(number, one.word) for number, one in enumerate(scored)], "")
    statement = (
        fragment("WITH found AS MATERIALIZED (SELECT id, %s::float8", K1 * (1.0 - B))
        + fragment(" + %s * search_tokens AS k", K1 * B / facts.averages.tokens_a_row)
        + places
        + fragment(" FROM memories WHERE ")
        + wants
        + fragment(" AND ")
        + condition
        + fragment(") SELECT id, ")
        + _score(scored)
        + fragment(" AS score, (SELECT count(*) FROM found)")
        + fragment(" FROM found ORDER BY score DESC, id LIMIT %s", limit)
    )
    found = rows(connection, statement)
    hits = [ScoredId(one, score) for one, score, _ in found]
    return hits, int(found[0][2]) if found else 0


def _places(number: int, word: Word) -> Fragment:
    """In how many places a row holds a word, and in how many of its title; of a phrase, whether."""
    if word.is_phrase:
        held = f", (search @@ %s::tsquery)::int AS p{number}, 0 AS t{number}"
        return fragment(held, word.query)
    anywhere, in_title = _counted(_ANYWHERE), _counted(_IN_TITLE)
    return fragment(f", {anywhere} AS p{number}, {in_title} AS t{number}", word.query, word.query)


def _counted(classes: str) -> str:
    return f"width_bucket(ts_rank({classes}, search, %s::tsquery)::float8, {_STEPS_ARRAY})"


def _score(scored: Sequence[Weighed]) -> Fragment:
    """F (k1 + 1) / (f + k), written so that each count is looked at once."""
    parts = [
        fragment(f"%s * (1 - k / (p{number} + {_TITLE_EXTRA:g} * t{number} + k))", share)
        for number, share in enumerate(one.weight * (K1 + 1.0) for one in scored)
    ]
    return joined(parts, " + ") if parts else fragment("0::float8")


def _unclear(
    connection: psycopg.Connection, words: Sequence[Word], condition: Fragment
) -> list[str]:
    """Long rows that hold a phrase further back than their positions reach."""
    statement = (
        fragment("SELECT id, title, content, tags::text FROM memories WHERE search @@ %s::tsquery")
        + fragment(" AND NOT search @@ %s::tsquery AND ")
        + condition
    )
    statement = Fragment(statement.text, (may_want_all(words), wants_all(words), *condition.values))
    found = rows(connection, statement)
    return [one for one, *columns in found if _holds_all(words, columns)]


def _holds_all(words: Iterable[Word], columns: Sequence[str]) -> bool:
    analysis = own_analysis()
    texts = [analysis.terms(column) for column in columns]
    return all(any(_holds(text, word.terms) for text in texts) for word in words)


def _holds(text: Sequence[str], phrase: tuple[str, ...]) -> bool:
    length = len(phrase)
    return any(text[place : place + length] == phrase for place in range(len(text) - length + 1))

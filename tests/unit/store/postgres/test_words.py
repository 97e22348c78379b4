"""Questions as tsqueries: every way of holding enough of a question is in the query, no other."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.postgres.words import Weighed, Word, all_words, any_words, wants_weight

weights = st.lists(st.floats(0.1, 10), min_size=1, max_size=7).map(
    lambda found: sorted(found, reverse=True)
)


def asked(found: list[float]) -> list[Weighed]:
    return [Weighed(Word((f"w{number}",)), one, is_held=True) for number, one in enumerate(found)]


def lets_through(query: str, held: set[str]) -> bool:
    """A tsquery without phrases, asked of a set of lexemes."""
    python = query.replace("&", " and ").replace("|", " or ")
    return bool(eval(re.sub(r"'(\w+)'", lambda match: str(match.group(1) in held), python)))


@given(weights, st.floats(0.01, 1))
def test_a_row_is_wanted_if_what_it_holds_weighs_enough(found: list[float], share: float) -> None:
    words, least = asked(found), sum(found) * share * (1 - 1e-9)
    query = wants_weight(words, least, 1_000)
    assert query is not None
    for size in range(len(words) + 1):
        for some in combinations(words, size):
            # In the query's own order of adding up: the last digits differ in another.
            left = least
            for one in some:
                left -= one.weight
            held = {one.word.terms[0] for one in some}
            if abs(left) > 1e-6:
                assert lets_through(query, held) is (left < 0)


@given(weights, st.floats(0.01, 1), st.integers(0, 40))
def test_a_query_names_no_more_words_than_it_may(
    found: list[float], share: float, most: int
) -> None:
    words, least = asked(found), sum(found) * share * (1 - 1e-9)
    whole = wants_weight(words, least, 1_000)
    assert whole is not None
    fits = len(re.findall(r"'\w+'", whole)) <= most
    assert wants_weight(words, least, most) == (whole if fits else None)


def test_no_row_can_hold_more_than_all() -> None:
    with pytest.raises(ValueError, match="do not weigh"):
        wants_weight(asked([1.0, 2.0]), 3.1, 10)


def test_a_question_is_its_words_without_function_words_each_once() -> None:
    assert [word.terms for word in any_words("How do I copy the file and files?")] == [
        ("copi",),
        ("file",),
    ]
    assert [word.terms for word in any_words("of the")] == [("of",), ("the",)]
    assert any_words("?! NOT") == []


def test_a_search_wants_tokens_as_they_were_typed() -> None:
    assert [word.query for word in all_words("open-file the AND open(path)")] == [
        "('open' <-> 'file')",
        "'the'",
        "'open'",
        "'path'",
    ]

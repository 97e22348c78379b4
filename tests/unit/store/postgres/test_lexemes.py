"""What a row's text becomes in a tsvector: within every limit, and never more than was asked."""

import re

from hypothesis import given
from hypothesis import strategies as st

from app.store.postgres.lexemes import CLIPPED, lexeme, one_of, search_text
from app.store.text.analysis import own_analysis


def lexemes(vector: str) -> dict[str, list[str]]:
    found = re.findall(r"'((?:[^']|'')+)'(?::([0-9A-D,]+))?", vector)
    return {name: places.split(",") if places else [] for name, places in found}


def test_terms_are_folded_and_stemmed_and_know_their_column() -> None:
    made = search_text("Copying files", "Naïve copies of a CAFÉ", '["file","food"]')
    assert lexemes(made.literal) == {
        "copi": ["1A", "5B"],
        "file": ["2A", "10C"],
        "naiv": ["4B"],
        "of": ["6B"],
        "a": ["7B"],
        "cafe": ["8B"],
        "food": ["11C"],
    }
    assert made.token_count == 9


def test_columns_are_not_next_to_one_another() -> None:
    places = lexemes(search_text("open", "file", "[]").literal)
    assert (places["open"], places["file"]) == (["1A"], ["3B"])


def test_nothing_is_a_vector_without_lexemes() -> None:
    assert search_text("", "?!\x00'\\", "[]").literal == ""


def test_a_term_longer_than_a_lexeme_may_be_is_told_by_its_hash() -> None:
    one, other = "a" * 3_000, "a" * 2_999 + "b"
    held = lexemes(search_text("", f"{one} {other}", "[]").literal)
    assert set(held) == {lexeme(one), lexeme(other)}
    assert all(len(name.encode()) <= 2_046 for name in held)
    assert lexeme(one) != lexeme(other)
    # The index of SQLite cuts a longer one, too.
    assert lexeme("b" * 32_768) == lexeme("b" * 40_000)


def test_what_repeats_too_often_or_stands_too_far_back_is_clipped_and_marked() -> None:
    often = lexemes(search_text("", "word " * 300, "[]").literal)
    assert len(often["word"]) == 255
    assert CLIPPED in often

    far = lexemes(search_text("", " ".join(f"w{number}" for number in range(17_000)), "[]").literal)
    assert far["w16999"] == ["16383B"]
    assert CLIPPED in far
    assert CLIPPED not in lexemes(search_text("", "word " * 200, "[]").literal)


def test_a_text_beyond_every_limit_still_fits() -> None:
    text = " ".join(f"{number:x}" * 8 for number in range(60_000))
    assert len(search_text("", text, "[]").literal.encode()) < 2_000_000


def test_quotes_and_backslashes_cannot_leave_their_lexeme() -> None:
    # No tokenizer makes such a term; a query may still be given one.
    assert one_of("it's \\ here") == "'it''s \\\\ here'"


@given(st.text(), st.text(), st.lists(st.text()).map(repr))
def test_the_lexemes_are_the_terms(title: str, content: str, tags: str) -> None:
    made = search_text(title, content, tags)
    terms = [term for text in (title, content, tags) for term in own_analysis().terms(text)]
    assert set(lexemes(made.literal)) - {CLIPPED} == {lexeme(term) for term in terms}
    assert made.token_count == len(terms)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.text import (
    STOP_WORDS,
    equal_text_key,
    estimate_tokens,
    fts5_all_of,
    fts5_any_of,
    parse_query,
    title_likeness,
)

any_text = st.text(st.characters(exclude_categories=()), max_size=80)


def test_operators_and_signs_lose_their_meaning() -> None:
    query = parse_query('title: "open(path)" AND NOT retry* NEAR(x)')
    assert fts5_all_of(query) == '"title" "open" "path" "retry" "NEAR" "x"'


def test_lower_case_operator_words_are_ordinary_words() -> None:
    assert parse_query("and near").tokens == ("and", "near")


def test_zero_width_and_bidi_characters_vanish_inside_a_word() -> None:
    assert parse_query("pass\u200bword \u202edrow").tokens == ("password", "drow")


def test_control_characters_separate_words() -> None:
    assert parse_query("left\x00right\x07end").tokens == ("left", "right", "end")


def test_a_query_without_letters_or_digits_matches_nothing() -> None:
    query = parse_query(' ?? ** "" \u200b NOT ')
    assert query.is_empty
    assert fts5_all_of(query) is None
    assert fts5_any_of(query.content_words) is None


def test_function_words_are_left_out_of_a_question() -> None:
    query = parse_query("How do I copy a directory to another place?")
    assert query.content_words == ("copy", "directory", "place")


def test_a_question_of_function_words_only_keeps_them_all() -> None:
    assert parse_query("To be or not to be").content_words == ("to", "be", "or", "not")


def test_composed_and_decomposed_accents_are_the_same_query() -> None:
    assert parse_query("cafe\u0301s") == parse_query("caf\u00e9s")


@given(any_text)
def test_no_query_keeps_a_bare_operator_or_an_invisible_character(text: str) -> None:
    query = parse_query(text)
    for token in query.tokens:
        assert not any(character.isspace() for character in token)
        assert not set(token) & set('"*^{}():|+\x00\u200b\u202e')
    assert set(query.content_words) <= set(query.words)
    assert bool(query.content_words) == bool(query.words)


@given(any_text, any_text)
def test_title_likeness_is_symmetric_and_within_bounds(left: str, right: str) -> None:
    assert title_likeness(left, right) == title_likeness(right, left)
    assert 0.0 <= title_likeness(left, right) <= 1.0


def test_title_likeness_counts_shared_words_but_not_function_words() -> None:
    assert title_likeness("The release is on Friday", "Release moved to Friday") == 2 / 3
    assert title_likeness("of the", "of the") == 1.0
    assert title_likeness("red", "blue") == 0.0
    assert title_likeness("", "") == 0.0


def test_texts_equal_to_a_reader_share_a_key() -> None:
    assert equal_text_key("The  build\nis GREEN.") == equal_text_key("the build is green")
    assert equal_text_key("ﬁle\u200b") == equal_text_key("file")


def test_texts_that_differ_in_meaning_do_not_share_a_key() -> None:
    assert equal_text_key("x < y") != equal_text_key("x > y")
    assert equal_text_key("port 80") != equal_text_key("port 8080")
    assert equal_text_key("not done") != equal_text_key("done")


@given(any_text)
def test_every_text_has_a_key_and_an_estimate(text: str) -> None:
    assert len(equal_text_key(text)) == 32
    assert 0 <= estimate_tokens(text) <= 4 * len(text)


@given(st.text("abc de.1", max_size=40), st.text("abc de.1", max_size=40))
def test_an_estimate_does_not_shrink_when_words_follow(left: str, right: str) -> None:
    assert estimate_tokens(f"{left}\n{right}") + 1 >= estimate_tokens(left)


def test_stop_words_hold_no_subject_of_a_question() -> None:
    assert not STOP_WORDS & {"file", "copy", "memory", "python", "error", "time", "find", "read"}

from __future__ import annotations

import random
from typing import cast

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.store.sqlite.analysis import Analyser
from app.store.sqlite.common_words import BM25
from app.store.sqlite.term_shares import read_averages, read_profiles
from app.store.tables.triggers import FULL_TEXT
from app.store.text.bm25 import word_weight

WORDS = ("alpha", "beta", "gamma", "running", "Café", "delta")
texts = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def database(rows: list[tuple[str, str, str]]) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE memories (id TEXT PRIMARY KEY, title, content, tags)")
    for statement in FULL_TEXT:
        connection.execute(statement)
    for number, columns in enumerate(rows):
        connection.execute("INSERT INTO memories VALUES (?, ?, ?, ?)", (str(number), *columns))
    return connection


@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=12))
@example([("", "", ""), ("", "", "alpha")])  # less than a word a row
@settings(deadline=None)
def test_a_rows_share_is_what_the_index_itself_makes_of_it(
    rows: list[tuple[str, str, str]],
) -> None:
    connection = database(rows)
    analyser = Analyser(connection)
    profiles = read_profiles(connection, analyser, range(1, len(rows) + 1))
    averages = read_averages(connection)
    for word in WORDS:
        (term,) = analyser.terms(word)
        found = connection.execute(
            f"SELECT rowid, -{BM25} FROM memories_fts WHERE memories_fts MATCH ?", (word,)
        )
        truth = dict(cast("list[tuple[int, float]]", found.fetchall()))
        weight = word_weight(len(truth), averages.row_count)
        ours = {
            row: weight * part
            for row, profile in profiles.items()
            if (part := profile.part(term, averages)) > 0.0
        }
        assert ours == pytest.approx(truth)


def test_averages_survive_collections_whose_counts_need_several_bytes() -> None:
    chance = random.Random(3)
    rows = [("title", " ".join(chance.choices(WORDS, k=200)), "") for _ in range(300)]
    averages = read_averages(database(rows))
    assert averages.row_count == 300
    assert averages.tokens_a_row == pytest.approx(201.0)


def test_rows_that_are_gone_have_no_profile_and_an_empty_index_has_averages() -> None:
    connection = database([])
    assert read_profiles(connection, Analyser(connection), [1, 2]) == {}
    assert read_averages(connection).row_count == 0

"""How much of a question a row holds: the measure that fusion gives words beside vectors."""

from __future__ import annotations

import random

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store.sqlite.common_words import CommonWords
from app.store.sqlite.coverage import coverages
from app.store.tables.triggers import FULL_TEXT

WORDS = ("file", "socket", "vector", "token", "index", "thread", "table", "digest")
SELDOM = "seldom"
ROWS = 1_200


def filled() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE memories (id TEXT PRIMARY KEY, title, content, tags)")
    for statement in FULL_TEXT:
        connection.execute(statement)
    chance = random.Random(3)
    with connection:
        for number in range(ROWS):
            words = chance.choices(WORDS, k=chance.randint(2, 4))
            add(connection, f"m{number}", " ".join([*words, SELDOM] if number % 40 == 0 else words))
    return connection


def add(connection: apsw.Connection, memory_id: str, content: str, title: str = "") -> int:
    connection.execute("INSERT INTO memories VALUES (?, ?, ?, '[]')", (memory_id, title, content))
    return connection.last_insert_rowid()


@pytest.fixture
def collection() -> apsw.Connection:
    return filled()


@pytest.fixture(scope="module")
def shared() -> apsw.Connection:
    return filled()


def test_all_words_are_1_none_are_0_and_rare_words_weigh_more(collection: apsw.Connection) -> None:
    add(collection, "whole", "seldom files and sockets")
    add(collection, "rare", "seldom")
    add(collection, "common", "file file file")
    add(collection, "other", "bread")
    found = coverages(
        collection, "How seldom does a file open a socket?", ["whole", "rare", "common", "other"]
    )
    # "open" is held by no row; it is asked for all the same.
    assert 1.0 > found["whole"] > found["rare"] > found["common"] > found["other"] == 0.0
    assert coverages(collection, "seldom socket", ["whole"]) == {"whole": pytest.approx(0.8)}
    add(collection, "titled", "bread", title="Sockets")
    assert coverages(collection, "socket", ["titled"]) == {"titled": pytest.approx(1.0)}


def test_rows_that_are_gone_and_empty_questions_are_no_error(collection: apsw.Connection) -> None:
    assert coverages(collection, "file", ["gone"]) == {}
    assert coverages(collection, "file", []) == {}
    assert coverages(collection, '"*" ()', ["m1"]) == {"m1": 0.0}


def test_a_word_that_every_row_holds_still_tells_its_holders_apart() -> None:
    connection = filled()
    with connection:
        connection.execute("UPDATE memories SET content = 'always'")
    add(connection, "without", "bread")
    found = coverages(connection, "always", ["m1", "without"])
    assert found == {"m1": pytest.approx(0.8), "without": 0.0}


@given(
    st.lists(st.sampled_from([*WORDS, SELDOM, "unknown"]), min_size=1, max_size=5),
    st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=20),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_kept_words_change_the_speed_and_not_the_answer(
    shared: apsw.Connection, words: list[str], numbers: list[int]
) -> None:
    ids = [f"m{number}" for number in numbers]
    kept = coverages(shared, " ".join(words), ids, CommonWords())
    assert kept == pytest.approx(coverages(shared, " ".join(words), ids), abs=1e-6)


def test_new_and_changed_rows_are_read_as_they_are_now(collection: apsw.Connection) -> None:
    common_words = CommonWords()
    assert coverages(collection, "file", ["m1"], common_words)
    add(collection, "new", "a file")
    collection.execute("UPDATE memories SET content = 'bread' WHERE id = 'm1'")
    collection.execute("UPDATE memories SET content = 'a file of bread' WHERE id = 'm2'")
    changed = collection.execute("SELECT rowid FROM memories WHERE id IN ('m1', 'm2')").fetchall()
    common_words.note_changed(int(str(row)) for (row,) in changed)
    assert coverages(collection, "file", ["new", "m1", "m2"], common_words) == {
        "new": pytest.approx(0.8),
        "m1": 0.0,
        "m2": pytest.approx(0.8),
    }

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store.sqlite.analysis import Analyser
from app.store.sqlite.common_words import COMMON_ROWS_MIN, CommonWords
from app.store.sqlite.fulltext import TextHit, search_all, search_any
from app.store.tables.triggers import FULL_TEXT

EVERYTHING = "1"
PREDICATES = ("compute", "parse", "store", "merge", "open", "close", "rank", "split")
OBJECTS = ("file", "socket", "vector", "token", "index", "thread", "table", "digest")


def database() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(
        "CREATE TABLE memories (id TEXT PRIMARY KEY, title TEXT, content TEXT, tags TEXT,"
        " namespace TEXT)"
    )
    for statement in FULL_TEXT:
        connection.execute(statement)
    return connection


def add(connection: apsw.Connection, memory_id: str, content: str, **columns: str) -> int:
    connection.execute(
        "INSERT INTO memories (id, title, content, tags, namespace) VALUES (?, ?, ?, ?, ?)",
        (
            memory_id,
            columns.get("title", ""),
            content,
            columns.get("tags", "[]"),
            columns.get("namespace", "global"),
        ),
    )
    return connection.last_insert_rowid()


def ids(hits: list[TextHit]) -> list[str]:
    return [hit.id for hit in hits]


@pytest.fixture
def small() -> apsw.Connection:
    connection = database()
    add(connection, "copy", "Recursively copy an entire directory tree.", title="shutil.copytree")
    add(connection, "walk", "Walk the files of a directory tree.", title="os.walk")
    add(connection, "hash", "Compute the digest of a file.", title="hashlib", namespace="crypto")
    add(connection, "cafe", "Naïve crème brûlée at the café.", title="lunch", tags='["food"]')
    return connection


def crowd(row_count: int = 1_500) -> apsw.Connection:
    """Rows full of the same few words, so that most words of a question are common."""
    connection = database()
    chance = random.Random(7)
    with connection:
        for number in range(row_count):
            words = chance.choices(PREDICATES + OBJECTS, k=chance.randint(4, 30))
            words.append(f"unique{number}")
            if number % 10 == 0:
                words.append("seldom")
            namespace = "narrow" if number % 50 == 0 else "wide"
            add(connection, f"m{number:05}", " ".join(words), namespace=namespace)
    return connection


@pytest.fixture(scope="module")
def crowded() -> apsw.Connection:
    return crowd()


def test_search_wants_every_word_and_recall_any(small: apsw.Connection) -> None:
    assert ids(search_all(small, "directory files", EVERYTHING, (), 10)) == ["walk"]
    assert set(ids(search_any(small, "directory files", EVERYTHING, (), 10))) == {
        "copy",
        "walk",
        "hash",
    }


def test_a_words_other_forms_and_accents_are_found(small: apsw.Connection) -> None:
    assert ids(search_any(small, "copying directories", EVERYTHING, (), 1)) == ["copy"]
    assert ids(search_any(small, "NAIVE creme brulee", EVERYTHING, (), 10)) == ["cafe"]
    assert ids(search_all(small, "food", EVERYTHING, (), 10)) == ["cafe"]


def test_a_word_in_the_title_weighs_more_than_the_same_word_in_the_content() -> None:
    connection = database()
    add(connection, "content", "quorum one two", title="alpha beta gamma")
    add(connection, "title", "alpha beta gamma", title="quorum one two")
    assert ids(search_any(connection, "quorum", EVERYTHING, (), 2)) == ["title", "content"]


def test_function_words_do_not_choose_the_answer(small: apsw.Connection) -> None:
    add(small, "noise", "how do I do what I do and how is it that I do it to an of the")
    found = ids(search_any(small, "How do I copy a tree?", EVERYTHING, (), 10))
    assert found == ["copy", "walk"]


def test_a_question_of_function_words_only_still_finds_rows(small: apsw.Connection) -> None:
    assert set(ids(search_any(small, "of the", EVERYTHING, (), 10))) == {
        "walk",
        "hash",
        "cafe",
    }


def test_nothing_to_ask_for_finds_nothing(small: apsw.Connection) -> None:
    for query in ("", "?!", "NOT", "\x00"):
        assert search_all(small, query, EVERYTHING, (), 10) == []
        assert search_any(small, query, EVERYTHING, (), 10) == []
    assert search_any(small, "tree", EVERYTHING, (), 0) == []


def test_the_filter_applies_before_the_limit(small: apsw.Connection) -> None:
    hits = search_any(small, "directory tree file", "m.namespace = ?", ("crypto",), 1)
    assert ids(hits) == ["hash"]
    assert search_all(small, "file", "m.namespace = ?", ("global",), 5)[0].id == "walk"


def test_scores_are_positive_and_fall(crowded: apsw.Connection) -> None:
    for words in (None, CommonWords()):
        scores = [
            hit.score
            for hit in search_any(crowded, "merge index seldom", EVERYTHING, (), 50, words)
        ]
        assert len(scores) == 50
        assert all(score > 0.0 for score in scores)
        assert scores == sorted(scores, reverse=True)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_at_all_is_a_valid_query(small: apsw.Connection, text: str) -> None:
    search_all(small, text, EVERYTHING, (), 3)
    search_any(small, text, EVERYTHING, (), 3)
    search_any(small, f'"{text}* NEAR({text}', EVERYTHING, (), 3)


questions = st.lists(
    st.sampled_from((*PREDICATES, *OBJECTS, "seldom", "unique7", "unique1300", "how", "absent")),
    min_size=1,
    max_size=7,
).map(" ".join)
filters = st.sampled_from(
    [(EVERYTHING, ()), ("m.namespace = ?", ("narrow",)), ("m.namespace = ?", ("none",))]
)


@given(questions, filters, st.integers(1, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_kept_words_give_the_exhaustive_ranking(
    crowded: apsw.Connection, query: str, narrow: tuple[str, tuple[str, ...]], limit: int
) -> None:
    words = CommonWords()
    same_ranking(crowded, query, narrow, limit, words)


def same_ranking(
    connection: apsw.Connection,
    query: str,
    narrow: tuple[str, tuple[str, ...]],
    limit: int,
    words: CommonWords,
    tolerance: float = 2e-4,
) -> None:
    where, parameters = narrow
    exhaustive = search_any(connection, query, where, parameters, limit)
    kept = search_any(connection, query, where, parameters, limit, words)
    assert [hit.score for hit in kept] == pytest.approx(
        [hit.score for hit in exhaustive], rel=tolerance
    )
    scores = {hit.id: hit.score for hit in exhaustive}
    worst = min(scores.values(), default=0.0)
    # Rows that tie within float32 at the cut may differ.
    for hit in kept:
        assert hit.id in scores or hit.score == pytest.approx(worst, rel=tolerance)


def test_common_words_are_kept_and_rare_ones_asked(crowded: apsw.Connection) -> None:
    words = CommonWords()
    search_any(crowded, "merge seldom unique7", EVERYTHING, (), 5, words)
    assert words.word_count == 1
    assert words.byte_count > COMMON_ROWS_MIN * 4


def test_a_row_written_after_the_arrays_were_taken_is_found() -> None:
    connection, words = crowd(), CommonWords()
    search_any(connection, "merge index", EVERYTHING, (), 5, words)
    add(connection, "new", "merge index", title="merge index")
    assert search_any(connection, "merge index", EVERYTHING, (), 1, words)[0].id == "new"


def test_a_changed_row_is_found_by_its_new_words_and_no_more_by_its_old() -> None:
    connection, words = crowd(), CommonWords()
    first = search_any(connection, "merge index", EVERYTHING, (), 1, words)[0]
    connection.execute("UPDATE memories SET content = 'digest' WHERE id = ?", (first.id,))
    words.note_changed([first.row])
    assert first.id not in ids(search_any(connection, "merge index", EVERYTHING, (), 1500, words))
    assert first.id in ids(search_any(connection, "digest", EVERYTHING, (), 1500, words))


def test_a_deleted_row_is_gone_and_its_place_may_be_taken() -> None:
    connection, words = crowd(), CommonWords()
    last = add(connection, "last", "merge merge merge index")
    search_any(connection, "merge index", EVERYTHING, (), 5, words)
    connection.execute("DELETE FROM memories WHERE id = 'last'")
    words.note_changed([last])
    assert "last" not in ids(search_any(connection, "merge index", EVERYTHING, (), 2000, words))
    assert add(connection, "heir", "socket") == last
    assert "heir" not in ids(search_any(connection, "merge index", EVERYTHING, (), 2000, words))
    assert "heir" in ids(search_any(connection, "socket", EVERYTHING, (), 2000, words))


def test_refreshing_changes_the_speed_and_not_the_answer() -> None:
    connection, words = crowd(), CommonWords()
    for query in ("merge index seldom", "digest", "open close"):
        search_any(connection, query, EVERYTHING, (), 5, words)
    with connection:
        for number in range(40):
            add(connection, f"late{number}", "merge digest open")
        connection.execute("UPDATE memories SET content = 'merge close' WHERE rowid % 97 = 0")
        changed = [
            row for (row,) in connection.execute("SELECT rowid FROM memories WHERE rowid % 97 = 0")
        ]
    words.note_changed(changed)
    assert words.refresh(connection, tail_rows_max=0)
    assert not words.refresh(connection, tail_rows_max=0)
    for query in ("merge index seldom", "digest", "open close"):
        everything = (EVERYTHING, ())
        found = search_any(connection, query, EVERYTHING, (), 2000, words)
        assert {hit.id for hit in found} == {
            hit.id for hit in search_any(connection, query, EVERYTHING, (), 2000)
        }
        # Shares taken earlier keep the average length of their time.
        same_ranking(connection, query, everything, 10, words, tolerance=0.02)


def test_a_long_absence_is_caught_up_in_steps_and_nothing_is_missed_meanwhile() -> None:
    connection, words = crowd(row_count=2_500), CommonWords()
    search_any(connection, "merge", EVERYTHING, (), 5, words)
    with connection:
        for number in range(2_400):
            add(connection, f"late{number:04}", "merge digest open")
    add(connection, "best", "merge", title="merge")
    steps = 0
    while words.refresh(connection, tail_rows_max=10):
        steps += 1
        assert search_any(connection, "merge", EVERYTHING, (), 1, words)[0].id == "best"
        assert len(search_any(connection, "digest", EVERYTHING, (), 5_000, words)) >= 2_400
    assert steps == 2


def test_the_arrays_stay_within_their_bound(crowded: apsw.Connection) -> None:
    words = CommonWords(bytes_max=20_000)
    for word in PREDICATES + OBJECTS:
        search_any(crowded, word, EVERYTHING, (), 5, words)
        assert words.byte_count <= 20_000
    assert 0 < words.word_count < len(PREDICATES + OBJECTS)


def test_warming_takes_the_commonest_words_and_can_be_stopped(crowded: apsw.Connection) -> None:
    words = CommonWords()
    assert words.warm(crowded, lambda: True) == 0
    assert words.warm(crowded, lambda: False) > 10
    held = words.word_count
    search_any(crowded, "thread split", EVERYTHING, (), 5, words)
    assert words.word_count == held


def test_forgetting_follows_renumbered_rows() -> None:
    connection, words = crowd(), CommonWords()
    search_any(connection, "merge index", EVERYTHING, (), 5, words)
    connection.execute("DELETE FROM memories WHERE rowid <= 100")
    connection.execute("UPDATE memories SET rowid = rowid - 100")
    connection.execute("INSERT INTO memories_fts(memories_fts) VALUES ('rebuild')")
    words.forget()
    same_ranking(connection, "merge index", (EVERYTHING, ()), 10, words)


def test_words_are_analysed_as_the_table_was_declared() -> None:
    connection = database()
    assert Analyser(connection).distinct(["files", "file", "café"]) == {
        "file": "files",
        "cafe": "café",
    }
    plain = apsw.Connection(":memory:")
    plain.execute("CREATE VIRTUAL TABLE memories_fts USING fts5(title, content, tags)")
    assert set(Analyser(plain).distinct(["files", "file"])) == {"files", "file"}


def docstrings(modules: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Name, first sentence and the rest of every longer docstring of some real modules."""
    folder = Path(sysconfig.get_path("stdlib"))
    for module in modules:
        tree = ast.parse((folder / module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            summary, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
            if len(rest) > 150 and len(summary.split()) > 5:
                yield f"{module}:{node.name}:{node.lineno}", " ".join(summary.split()), rest


def test_real_docstrings_are_found_by_a_question_made_of_their_first_sentence() -> None:
    modules = (
        "argparse.py",
        "difflib.py",
        "inspect.py",
        "statistics.py",
        "typing.py",
        "heapq.py",
        "textwrap.py",
        "turtle.py",
        "fractions.py",
        "tarfile.py",
        "functools.py",
    )
    texts = list(docstrings(modules))
    assert len(texts) > 150
    connection = database()
    with connection:
        for name, _, rest in texts:
            add(connection, name, rest, title=name.replace(":", " ").replace(".py", ""))
    found = sum(
        name in ids(search_any(connection, f"How do I {summary}?", EVERYTHING, (), 5))
        for name, summary, _ in texts
    )
    assert found / len(texts) >= 0.6

"""The example's documents: what they hold, and that a node may store every one of them."""

from collections import Counter
from pathlib import Path

import pytest

from examples.stdlib.corpus import CONTENT_BYTES_MAX, TITLE_CHARACTERS_MAX, iter_docstrings
from examples.stdlib.session import QUESTIONS_FILE, main, read_questions
from tests.fixtures.stdlib import stdlib_documents

SOURCE = '''"""What the module is for."""
import sys

if sys.platform == "win32":
    def place(x: int) -> str:
        """Where it is."""
else:
    def place(x: int) -> str:
        """Where it is, elsewhere."""

class Box(dict[str, int]):
    """Holds things."""

    async def put(self, thing: str = "\\n", /, *, hard: bool = False) -> None:
        """Put\\ra thing in.\\x00"""

    def silent(self) -> None:
        def inner() -> None:
            """Nobody can call this."""

def blank() -> None:
    """   """
'''


def library(tmp_path: Path) -> Path:
    package = tmp_path / "shelf"
    package.mkdir()
    (package / "__init__.py").write_text('"""A package."""\n', encoding="utf-8")
    (package / "boxes.py").write_text(SOURCE, encoding="utf-8")
    (package / "broken.py").write_text("def (", encoding="utf-8")
    tests = package / "tests"
    tests.mkdir()
    (tests / "test_boxes.py").write_text('"""Not part of the library."""\n', encoding="utf-8")
    return tmp_path


def test_names_titles_and_namespaces_say_where_an_object_is(tmp_path):
    documents = list(iter_docstrings(library(tmp_path)))

    assert [(d.title, d.namespace, d.kind) for d in documents] == [
        ("shelf", "python/stdlib/shelf", "module"),
        ("shelf.boxes", "python/stdlib/shelf/boxes", "module"),
        ("shelf.boxes.place", "python/stdlib/shelf/boxes", "function"),
        ("shelf.boxes.Box", "python/stdlib/shelf/boxes", "class"),
        ("shelf.boxes.Box.put", "python/stdlib/shelf/boxes", "method"),
    ]
    assert documents[4].name == "shelf.boxes.Box.put"


def test_control_characters_are_dropped_and_the_first_of_two_branches_wins(tmp_path):
    by_name = {d.name: d.content for d in iter_docstrings(library(tmp_path))}

    assert by_name["shelf.boxes.Box.put"] == (
        "Puta thing in.\n\nshelf.boxes.Box.put(self, thing: str='\\n', /, *, hard: bool=False)"
    )
    assert by_name["shelf.boxes.place"] == "Where it is.\n\nshelf.boxes.place(x: int)"


def test_another_form_of_the_same_function_is_told_apart_by_its_signature(tmp_path):
    source = '''
if True:
    def f(x):
        """Take one."""
else:
    def f(x, y):
        """Take two."""
'''
    (tmp_path / "forms.py").write_text(source, encoding="utf-8")

    assert [d.title for d in iter_docstrings(tmp_path)] == ["forms.f", "forms.f(x, y)"]


def test_oversized_text_is_cut_to_what_a_memory_may_hold(tmp_path):
    arguments = ", ".join(f"argument_{number}" for number in range(100))
    text = "é" * CONTENT_BYTES_MAX
    (tmp_path / "big.py").write_text(f'def f({arguments}):\n    """{text}"""\n', encoding="utf-8")

    (document,) = iter_docstrings(tmp_path)

    assert document.title == "big.f"
    assert CONTENT_BYTES_MAX - 1 <= len(document.content.encode()) <= CONTENT_BYTES_MAX
    assert len(document.content.rpartition("\n\n")[2]) == TITLE_CHARACTERS_MAX
    assert "argument_0" in document.content


def test_the_library_gives_thousands_of_texts_within_every_limit():
    documents = stdlib_documents()

    assert len(documents) > 7_000
    assert max(Counter((d.namespace, d.title) for d in documents).values()) == 1
    for document in documents:
        assert 0 < len(document.title.strip()) <= TITLE_CHARACTERS_MAX
        assert 0 < len(document.content.strip().encode()) <= CONTENT_BYTES_MAX
        assert len(document.namespace.split("/")) <= 8
        assert all(
            segment and segment == segment.strip() for segment in document.namespace.split("/")
        )
        assert all(c in "\n\t" or c.isprintable() or ord(c) > 0x9F for c in document.content)


@pytest.mark.parametrize("file", ["questions.toml", "questions-paraphrased.toml"])
def test_every_question_has_its_answers_in_the_corpus(file):
    names = {document.name for document in stdlib_documents()}
    questions = read_questions(QUESTIONS_FILE.with_name(file))

    assert len(questions) == 20
    assert all(1 <= len(question.gold) <= 4 for question in questions)
    # Where a function exists for one platform only, its source is still there to be read.
    assert [gold for question in questions for gold in question.gold if gold not in names] == []


@pytest.mark.parametrize("text", [None, "question = 3", "[[question]]\ntext = 'Why?'", "= ="])
def test_a_file_without_questions_is_named_before_the_node_is_asked(tmp_path, capsys, text):
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    assert main(["--questions", str(file), "--url", "http://127.0.0.1:1"]) == 2
    assert "is no file of questions" in " ".join(capsys.readouterr().err.split())

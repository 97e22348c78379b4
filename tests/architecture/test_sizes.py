"""A function fits a screen."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import ROOT, python_files

FUNCTION_LINES_MAX = 70

# Functions that were longer when the rule came, with that length: they may shrink, never grow.
LONGER: dict[str, int] = {}


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's place and its physical lines, decorators left out."""
    place = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{place}:{node.name}", node.end_lineno - node.lineno + 1


def lengths() -> dict[str, int]:
    return {
        name: lines
        for folder in ("app", "migrations")
        for path in python_files(folder)
        for name, lines in functions(path)
    }


def test_no_function_is_longer_than_a_screen():
    too_long = {
        name: lines
        for name, lines in lengths().items()
        if lines > LONGER.get(name, FUNCTION_LINES_MAX)
    }
    assert too_long == {}


def test_no_exception_outlives_its_function():
    now = lengths()
    outlived = {name for name in LONGER if now.get(name, 0) <= FUNCTION_LINES_MAX}
    assert outlived == set()

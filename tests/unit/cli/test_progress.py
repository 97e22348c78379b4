"""Progress: silence first, then a bar on a terminal and lines elsewhere."""

import io

from typing_extensions import override

from app.cli.progress import LINE_SECONDS, Progress


class Timer:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    @override
    def isatty(self) -> bool:
        return True


def test_what_is_quick_says_nothing():
    stream, timer = io.StringIO(), Timer()
    with Progress(stream, timer) as progress:
        for done in range(11):
            progress.report("import", done, 10)
            timer.now += 0.05
    assert stream.getvalue() == ""


def test_what_is_slow_writes_lines_at_intervals_and_at_its_end():
    stream, timer = io.StringIO(), Timer()
    with Progress(stream, timer) as progress:
        for done in range(101):
            progress.report("import", done, 100)
            timer.now += LINE_SECONDS / 10
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("import: ")
    assert lines[-1] == "import: 100 of 100 (100 %)"
    assert 8 <= len(lines) <= 13


def test_a_terminal_gets_a_bar():
    stream, timer = Terminal(), Timer()
    with Progress(stream, timer) as progress:
        progress.report("backup", 0, 100)
        timer.now += 2
        progress.report("backup", 50, 100)
    assert "backup" in stream.getvalue()


def test_work_of_unknown_length_is_named_at_once():
    stream = io.StringIO()
    with Progress(stream, Timer()) as progress:
        progress.report("copying the old database", 0, 0)
    assert stream.getvalue() == "copying the old database …\n"

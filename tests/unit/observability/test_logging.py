"""What the log looks like."""

import io
import json
import logging

import pytest
import structlog

from app.observability.logging import LogFile, LogOptions, configure


@pytest.fixture(autouse=True)
def untouched_logging():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def written(options, *events):
    stream = io.StringIO()
    configure(options, stream)
    for event in events:
        event()
    return stream.getvalue()


def test_a_line_has_time_level_logger_event_and_details():
    text = written(
        LogOptions(),
        lambda: structlog.get_logger("ai_memory.api").warning("slow", took=3, path="/a b"),
    )

    assert text.endswith('WARNING ai_memory.api: slow path="/a b" took=3\n')


def test_structured_lines_are_json_objects_and_libraries_write_them_too():
    text = written(
        LogOptions(is_structured=True),
        lambda: structlog.get_logger("ours").info("stored", id="m1"),
        lambda: logging.getLogger("theirs").warning("careful %s", "now"),
    )

    ours, theirs = map(json.loads, text.splitlines())
    assert (ours["event"], ours["id"], ours["level"], ours["logger"]) == (
        "stored",
        "m1",
        "info",
        "ours",
    )
    assert (theirs["event"], theirs["level"]) == ("careful now", "warning")


def test_a_value_cannot_forge_a_line():
    text = written(LogOptions(), lambda: structlog.get_logger("x").info("seen", path="/a\nFAKE"))

    assert len(text.splitlines()) == 1


def test_a_traceback_shows_no_local_variables():
    def fail():
        secret = "hunter2"  # a local that a rich traceback would print
        try:
            len(secret) / 0
        except ZeroDivisionError:
            structlog.get_logger("x").exception("failed")

    text = written(LogOptions(), fail)

    assert "ZeroDivisionError" in text
    assert "hunter2" not in text


def test_a_filter_sets_levels_by_logger():
    text = written(
        LogOptions(level="warn,ai_memory::api=debug"),
        lambda: structlog.get_logger("other").info("hidden"),
        lambda: structlog.get_logger("ai_memory.api").debug("shown"),
    )

    assert "shown" in text
    assert "hidden" not in text


def test_requests_that_we_send_are_not_logged_one_by_one():
    assert written(LogOptions(), lambda: logging.getLogger("httpx").info("GET")) == ""


@pytest.mark.parametrize("rotation", ["daily", "never"])
def test_a_file_gets_the_same_lines(tmp_path, rotation):
    file = tmp_path / "logs" / "ai-memory.log"

    text = written(
        LogOptions(file=LogFile(file, rotation)), lambda: structlog.get_logger("x").info("kept")
    )

    assert file.read_text(encoding="utf-8") == text

"""The performance page: made of the last results, so a run of one measurement keeps the others."""

import msgspec
import pytest

from bench.machine import Machine
from bench.measurement import Finding, Spread, at_least
from bench.report import Note, Result, number, page, read_notes, read_results, table, write_json

MACHINE = Machine(
    "A processor", 2, 24.0, "Linux 6 x86_64", "3.11.7", "3.54.1", 4_741.0, "2026-01-01"
)
NOTE = Note(
    "first", "the node / the ruler", "0.49 on another day", "HTTP takes half", "a faster loop"
)


def result(name, median):
    findings = (
        Finding("the node / the ruler", "x", Spread(0.4, median, 0.9), at_least(0.5)),
        Finding("the node", "1/s", Spread(900.0, 1_234.5, 2_000.0)),
    )
    return Result(name, f"About {name}.", MACHINE, None, 5, 5.0, findings)


def test_the_table_shows_median_ends_target_and_verdict():
    met, missed = result("a", 0.52), result("a", 0.45)

    assert "| the node / the ruler | x | 0.52 | 0.40 | 0.90 | >= 0.5 | yes |" in table(met.findings)
    assert "| 0.45 | 0.40 | 0.90 | >= 0.5 | **no** |" in table(missed.findings)
    assert "| the node | 1/s | 1,234 | 900 | 2,000 |  |  |" in table(met.findings)


def test_the_page_has_one_table_of_all_targets_with_their_baselines():
    text = page([result("first", 0.51), result("second", 0.61)], [])

    assert text.startswith("# Performance")
    row = "| [second](#second): the node | the ruler | x | 0.61 (0.40 - 0.90) | >= 0.5 | yes |"
    assert row in text
    assert text.count("A processor, 2 cores, 24 GiB") == 1
    assert "None." in text


def test_a_missed_target_is_shown_with_what_is_known_of_it_and_a_met_one_is_not():
    text = page([result("first", 0.45)], [NOTE])

    assert "### first: the node / the ruler" in text
    assert all(words in text for words in (NOTE.best, NOTE.profile, NOTE.needed))
    assert NOTE.needed not in page([result("first", 0.55)], [NOTE])


def test_results_are_kept_until_they_are_measured_again(tmp_path):
    first, second = result("first", 0.45), result("second", 0.55)
    write_json(first, tmp_path)
    write_json(second, tmp_path)

    write_json(result("second", 0.75), tmp_path)

    assert read_results(tmp_path, ["second", "never", "first"]) == [result("second", 0.75), first]


def test_notes_with_a_missing_word_are_refused(tmp_path):
    file = tmp_path / "notes.toml"
    file.write_text('[[missed]]\nmeasurement = "first"\nsubject = "x"\n')

    with pytest.raises(msgspec.ValidationError, match="best"):
        read_notes(file)


def test_numbers_have_three_digits_that_matter():
    assert [number(value) for value in (0.123, 9.876, 12.34, 123.4, 12_345.6)] == [
        "0.12",
        "9.88",
        "12.3",
        "123",
        "12,346",
    ]

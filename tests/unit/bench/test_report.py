"""The performance page: every measurement owns one section and leaves the rest alone."""

import json

from bench.machine import Machine
from bench.measurement import Finding, Measurement, Options, Spread, at_least
from bench.report import Result, number, put_section, table, write_json

MACHINE = Machine(
    "A processor", 2, 24.0, "Linux 6 x86_64", "3.11.7", "3.54.1", 4_741.0, "2026-01-01"
)


def result(tmp_path, name, median):
    measurement = Measurement(name, f"About {name}.", lambda _: ())
    findings = (
        Finding("the node / the ruler", "x", Spread(0.4, median, 0.9), at_least(0.5)),
        Finding("the node", "1/s", Spread(900.0, 1_234.5, 2_000.0)),
    )
    return Result(measurement, Options(tmp_path), MACHINE, findings)


def test_the_table_shows_median_ends_target_and_verdict(tmp_path):
    met, missed = result(tmp_path, "a", 0.52), result(tmp_path, "a", 0.45)

    assert "| the node / the ruler | x | 0.52 | 0.40 | 0.90 | >= 0.5 | yes |" in table(met.findings)
    assert "| 0.45 | 0.40 | 0.90 | >= 0.5 | **no** |" in table(missed.findings)
    assert "| the node | 1/s | 1,234 | 900 | 2,000 |  |  |" in table(met.findings)


def test_a_section_is_replaced_in_place_and_others_stay(tmp_path):
    page = tmp_path / "PERFORMANCE.md"
    put_section(page, result(tmp_path, "first", 0.51))
    put_section(page, result(tmp_path, "second", 0.61))
    page.write_text(page.read_text() + "\nWritten by hand.\n")

    put_section(page, result(tmp_path, "first", 0.71))

    text = page.read_text()
    assert text.startswith("# Performance")
    assert text.count("## first") == text.count("## second") == 1
    assert "0.51" not in text
    assert text.index("0.71") < text.index("## second") < text.index("0.61")
    assert text.endswith("Written by hand.\n")
    assert "A processor, 2 cores, 24 GiB" in text


def test_the_json_has_what_the_table_has(tmp_path):
    written = json.loads(write_json(result(tmp_path, "first", 0.45), tmp_path).read_text())

    assert written["findings"][0] == {
        "subject": "the node / the ruler",
        "unit": "x",
        "least": 0.4,
        "median": 0.45,
        "most": 0.9,
        "target": ">= 0.5",
        "met": False,
    }
    assert written["machine"]["cores"] == 2


def test_numbers_have_three_digits_that_matter():
    assert [number(value) for value in (0.123, 9.876, 12.34, 123.4, 12_345.6)] == [
        "0.12",
        "9.88",
        "12.3",
        "123",
        "12,346",
    ]

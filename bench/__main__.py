"""Measure: `python -m bench [--only NAME]... [--rows N] [--repeats N] [--seconds S]`."""

import argparse
import sys
import tempfile
from pathlib import Path

from bench.machine import describe
from bench.measurement import MeasurementError, Options
from bench.registry import MODULES, measurement
from bench.report import Result, page, read_notes, read_results, table, write_json

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "bench" / "results"
NOTES = REPOSITORY / "bench" / "notes.toml"
PAGE = REPOSITORY / "docs" / "PERFORMANCE.md"


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for.

    Returns:
        0 if every target was met, 1 if one was missed, 2 if something could not be measured.
    """
    asked = _parser().parse_args(arguments)
    verdicts = [_measure(name, asked) for name in asked.only or MODULES]
    if asked.page:
        text = page(read_results(RESULTS, MODULES), read_notes(NOTES))
        PAGE.write_text(text, encoding="utf-8")
    return max(verdicts)


def _measure(name: str, asked: argparse.Namespace) -> int:
    print(f"\n==> {name}", flush=True)
    # Not in /tmp, which may be a memory disk: what is measured has to reach a real one.
    scratch_root = REPOSITORY / ".local-runs"
    scratch_root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_root, prefix="bench-") as folder:
        options = Options(Path(folder), asked.rows, asked.repeats, asked.seconds)
        chosen = measurement(name)
        machine = describe(options.scratch)
        try:
            findings = chosen.run(options)
        except MeasurementError as error:
            print(f"cannot be measured: {error}", file=sys.stderr)
            return 2
    conditions = (options.rows, options.repeats, options.seconds)
    result = Result(chosen.name, chosen.about, machine, *conditions, findings)
    print(table(findings))
    print(f"written: {write_json(result, RESULTS).relative_to(REPOSITORY)}")
    return 1 if any(finding.met is False for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--only", action="append", choices=sorted(MODULES), help="measure this; may be repeated")
    add("--rows", type=int, help="how large a store to measure on")
    add("--repeats", type=int, default=5, help="interleaved rounds (%(default)s)")
    add("--seconds", type=float, default=5.0, help="length of one run under load (%(default)s)")
    add("--no-page", dest="page", action="store_false", help="leave docs/PERFORMANCE.md alone")
    return parser


if __name__ == "__main__":
    sys.exit(main())

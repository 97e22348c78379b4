"""The results for machines (JSON) and for people (a section of docs/PERFORMANCE.md each)."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.machine import Machine
from bench.measurement import Finding, Measurement, Options

PREFACE = """# Performance

Every figure is the median of interleaved runs on one machine, smallest and largest beside it.
Machines are noisy: trust the ratios (unit `x`), whose two sides were taken in the same round, and
take the rest as an explanation. `make bench` measures all of it again and rewrites the sections
below; what stands between two markers is generated.
"""


@dataclass(frozen=True)
class Result:
    """What one measurement gave, and under which conditions."""

    measurement: Measurement
    options: Options
    machine: Machine
    findings: tuple[Finding, ...]


def write_json(result: Result, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{result.measurement.name}.json"
    content = {
        "name": result.measurement.name,
        "about": result.measurement.about,
        "machine": asdict(result.machine),
        "rows": result.options.rows,
        "repeats": result.options.repeats,
        "seconds": result.options.seconds,
        "findings": [_as_json(finding) for finding in result.findings],
    }
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return file


def _as_json(finding: Finding) -> dict[str, object]:
    target = finding.target
    return {
        "subject": finding.subject,
        "unit": finding.unit,
        **asdict(finding.spread),
        "target": None if target is None else f"{target.sense.value} {target.bound:g}",
        "met": finding.met,
    }


def section(result: Result) -> str:
    """Render one measurement between its markers."""
    options = result.options
    conditions = f"{options.repeats} interleaved runs. {result.machine.sentence}."
    return "\n".join(
        [
            _begin(result.measurement.name),
            f"## {result.measurement.name}",
            "",
            result.measurement.about,
            "",
            table(result.findings),
            "",
            conditions,
            _end(result.measurement.name),
        ]
    )


def table(findings: Sequence[Finding]) -> str:
    rows = [
        "| what | unit | median | smallest | largest | target | met |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for finding in findings:
        spread, target = finding.spread, finding.target
        figures = " | ".join(number(value) for value in (spread.median, spread.least, spread.most))
        bound = "" if target is None else f"{target.sense.value} {target.bound:g}"
        verdict = {None: "", True: "yes", False: "**no**"}[finding.met]
        rows.append(f"| {finding.subject} | {finding.unit} | {figures} | {bound} | {verdict} |")
    return "\n".join(rows)


def number(value: float) -> str:
    """Render three digits that matter, never more: the rest is noise."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def put_section(page: Path, result: Result) -> None:
    """Replace the measurement's section of the page, or add it at the end."""
    text = page.read_text(encoding="utf-8") if page.exists() else PREFACE
    name = result.measurement.name
    pattern = re.compile(f"{re.escape(_begin(name))}.*?{re.escape(_end(name))}", re.DOTALL)
    new = section(result)
    if pattern.search(text):
        text = pattern.sub(lambda _: new, text)
    else:
        text = f"{text.rstrip()}\n\n{new}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")


def _begin(name: str) -> str:
    return f"<!-- bench:{name} begin -->"


def _end(name: str) -> str:
    return f"<!-- bench:{name} end -->"

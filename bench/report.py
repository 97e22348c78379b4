"""Results for machines (a JSON file each) and for people (docs/PERFORMANCE.md, made of them)."""

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.machine import Machine
from bench.measurement import Finding

PREFACE = """# Performance

`make bench` writes this page; the words on missed targets come from `bench/notes.toml`.

How the figures are taken:

- A target is a ratio (unit `x`) of two things measured in the same round on the same machine, or a
  bound that the size of the store sets (MB, s). Ratios travel to other machines, plain figures do
  not: they only explain.
- Contestants take turns, and the median of the rounds' ratios counts, not the ratio of medians.
- A figure is taken only from runs in which every request succeeded.
- The baselines (`bench/baseline/`) write the same tables, text index and log row as the node, with
  rows of the node's own size, through the same settings of SQLite, and do nothing else: no HTTP in
  the raw loop, no merge, hash or digest anywhere.
- Durable means durable: `synchronous=FULL` on both sides, on a real disk.
"""
_SUMMARY_HEAD = (
    "| metric | against | unit | median (smallest - largest) | target | met |",
    "| --- | --- | --- | --- | --- | --- |",
)
_DETAIL_HEAD = (
    "| what | unit | median | smallest | largest | target | met |",
    "| --- | --- | ---: | ---: | ---: | --- | --- |",
)


@dataclass(frozen=True)
class Result:
    """What one measurement gave, and under which conditions; `rows` None is its own choice."""

    name: str
    about: str
    machine: Machine
    rows: int | None
    repeats: int
    seconds: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Note:
    """What is known of a missed target, by a person.

    Attributes:
        measurement: Its name.
        subject: The finding's.
        best: The best figure seen so far, and on what.
        profile: Where the time goes.
        needed: What it would take.
    """

    measurement: str
    subject: str
    best: str
    profile: str
    needed: str


@dataclass(frozen=True)
class _Notes:
    missed: tuple[Note, ...] = ()


def write_json(result: Result, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{result.name}.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    return file


def read_results(folder: Path, names: Iterable[str]) -> list[Result]:
    """The last result of each measurement that has one, in the order of `names`."""
    files = (folder / f"{name}.json" for name in names)
    return [msgspec.json.decode(file.read_bytes(), type=Result) for file in files if file.exists()]


def read_notes(file: Path) -> tuple[Note, ...]:
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    return msgspec.convert(found, _Notes).missed


def page(results: Sequence[Result], notes: Sequence[Note]) -> str:
    """Render everything."""
    parts = [PREFACE, "## Targets\n", *_machines(results), "", summary(results), ""]
    parts += ["## Missed targets\n", *_missed(results, notes)]
    for result in results:
        parts += [f"## {result.name}\n", f"{result.about}\n", table(result.findings), ""]
        parts += [f"{_conditions(result)}.\n"]
    return "\n".join(parts).rstrip() + "\n"


def summary(results: Sequence[Result]) -> str:
    """Every finding that has a target, in one table."""
    return "\n".join(
        [
            *_SUMMARY_HEAD,
            *(
                _summary_row(result.name, finding)
                for result in results
                for finding in result.findings
                if finding.target is not None
            ),
        ]
    )


def _summary_row(name: str, finding: Finding) -> str:
    metric, _, against = finding.subject.partition(" / ")
    spread = finding.spread
    figures = f"{number(spread.median)} ({number(spread.least)} - {number(spread.most)})"
    cells = (f"[{name}](#{name}): {metric}", against, finding.unit, figures)
    return f"| {' | '.join(cells)} | {_bound(finding)} | {_verdict(finding)} |"


def _machines(results: Sequence[Result]) -> Iterator[str]:
    """Say it once where all was taken on one machine; the rate of syncs differs run by run."""
    sentences = dict.fromkeys(_hardware(result.machine) for result in results)
    if len(sentences) == 1:
        yield f"Machine: {next(iter(sentences))}."
    for result in results if len(sentences) > 1 else ():
        yield f"- {result.name}: {_hardware(result.machine)}"


def _hardware(machine: Machine) -> str:
    return machine.sentence.partition(": ")[2].rpartition("; ")[0]


def _conditions(result: Result) -> str:
    size = f" {result.rows:,} rows asked for;" if result.rows is not None else ""
    return (
        f"{result.machine.day};{size} {result.repeats} interleaved rounds;"
        f" {result.machine.syncs_per_second:,.0f} fdatasyncs a second on this disk"
    )


def _missed(results: Sequence[Result], notes: Sequence[Note]) -> Iterator[str]:
    known = {(note.measurement, note.subject): note for note in notes}
    missed = [(each.name, one) for each in results for one in each.findings if one.met is False]
    if not missed:
        yield "None.\n"
    for name, finding in missed:
        yield f"### {name}: {finding.subject}\n"
        yield f"{number(finding.spread.median)} {finding.unit}, target {_bound(finding)}.\n"
        note = known.get((name, finding.subject))
        if note is None:
            yield "Not looked into on this machine.\n"
            continue
        yield f"- Best figure: {note.best}"
        yield f"- Where the time goes: {note.profile}"
        yield f"- What it would take: {note.needed}\n"


def table(findings: Sequence[Finding]) -> str:
    rows = [*_DETAIL_HEAD]
    for finding in findings:
        spread = finding.spread
        figures = " | ".join(number(value) for value in (spread.median, spread.least, spread.most))
        cells = f"{finding.subject} | {finding.unit} | {figures}"
        rows.append(f"| {cells} | {_bound(finding)} | {_verdict(finding)} |")
    return "\n".join(rows)


def _bound(finding: Finding) -> str:
    target = finding.target
    return "" if target is None else f"{target.sense.value} {target.bound:g}"


def _verdict(finding: Finding) -> str:
    return {None: "", True: "yes", False: "**no**"}[finding.met]


def number(value: float) -> str:
    """Render three digits that matter, never more: the rest is noise."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"

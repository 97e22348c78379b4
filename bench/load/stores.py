"""Durable stores a second over HTTP, beside the bare store and one transaction a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.baseline.raw_store import rows_per_second
from bench.baseline.rows import make_rows
from bench.baseline.template import learn
from bench.load.servers import running_baseline, running_node
from bench.load.wrk import LoadDriver, LoadResult
from bench.measurement import (
    Finding,
    Measurement,
    Options,
    Spread,
    at_least,
    at_most,
    ratios,
)

NODE_CLIENTS = (20, 100, 64, 1)
BASELINE_CLIENTS = (20, 100)
WARM_UP_SECONDS = 1.0
RAW_ROWS_DEFAULT = 6_000
RAW_BATCH = 10  # about what forms behind 20 clients
RAW_BATCH_LARGE = 50  # and behind 100


@dataclass(frozen=True)
class Round:
    """What one round gave: every contestant once, each on a new database."""

    raw: float
    raw_large: float
    node: dict[int, LoadResult]
    baseline: dict[int, LoadResult]


def run(options: Options) -> tuple[Finding, ...]:
    driver = LoadDriver(options.scratch)
    rounds = [_round(number, options, driver) for number in range(options.repeats)]
    return (*_ratio_findings(rounds), *_plain_findings(rounds))


def _round(number: int, options: Options, driver: LoadDriver) -> Round:
    folder = options.scratch / f"round-{number}"
    folder.mkdir()
    # Who goes first changes every round, so that a machine that slows down favours nobody.
    node: dict[int, LoadResult] = {}
    baseline: dict[int, LoadResult] = {}
    if number % 2:
        baseline = _baseline(folder, options, driver)
        node = _node(folder, options, driver)
        small, large = _raw(folder, number, options)
    else:
        small, large = _raw(folder, number, options)
        node = _node(folder, options, driver)
        baseline = _baseline(folder, options, driver)
    return Round(small, large, node, baseline)


def _raw(folder: Path, number: int, options: Options) -> tuple[float, float]:
    rows = make_rows(options.rows or RAW_ROWS_DEFAULT, number)
    template = learn(folder / "template")
    small = rows_per_second(folder / "raw.db", template, rows, RAW_BATCH)
    return small, rows_per_second(folder / "raw-large.db", template, rows, RAW_BATCH_LARGE)


def _node(folder: Path, options: Options, driver: LoadDriver) -> dict[int, LoadResult]:
    with running_node(folder / "node") as url:
        return _under_load(url, NODE_CLIENTS, options.seconds, driver)


def _baseline(folder: Path, options: Options, driver: LoadDriver) -> dict[int, LoadResult]:
    with running_baseline(folder / "baseline") as url:
        return _under_load(url, BASELINE_CLIENTS, options.seconds, driver)


def _under_load(
    url: str, clients: Sequence[int], seconds: float, driver: LoadDriver
) -> dict[int, LoadResult]:
    driver.stores(url, clients[0], WARM_UP_SECONDS)
    return {count: driver.stores(url, count, seconds) for count in clients}


def _ratio_findings(rounds: Sequence[Round]) -> tuple[Finding, ...]:
    def node(clients: int) -> list[float]:
        return [one.node[clients].per_second for one in rounds]

    def baseline(clients: int) -> list[float]:
        return [one.baseline[clients].per_second for one in rounds]

    raw, raw_large = [one.raw for one in rounds], [one.raw_large for one in rounds]
    tails = {
        clients: Spread.of(one.node[clients].p99_ms / one.node[clients].p50_ms for one in rounds)
        for clients in (20, 100)
    }
    single = "one transaction a request"
    return (
        Finding("20 clients / raw, 10 rows a commit", "x", ratios(node(20), raw), at_least(0.5)),
        Finding("100 clients / raw, 50 rows a commit", "x", ratios(node(100), raw_large)),
        Finding(f"20 clients / {single}", "x", ratios(node(20), baseline(20)), at_least(2.5)),
        Finding(f"100 clients / {single}", "x", ratios(node(100), baseline(100)), at_least(3.3)),
        Finding("64 clients / 1 client", "x", ratios(node(64), node(1)), at_least(4.0)),
        Finding("p99 / p50 at 20 clients", "x", tails[20], at_most(4.0)),
        Finding("p99 / p50 at 100 clients", "x", tails[100], at_most(4.0)),
    )


def _plain_findings(rounds: Sequence[Round]) -> tuple[Finding, ...]:
    findings = [
        Finding("raw, 10 rows a commit", "1/s", Spread.of(one.raw for one in rounds)),
        Finding("raw, 50 rows a commit", "1/s", Spread.of(one.raw_large for one in rounds)),
    ]
    for clients in sorted(NODE_CLIENTS):
        findings += _of("node", [one.node[clients] for one in rounds], clients)
    for clients in sorted(BASELINE_CLIENTS):
        results = [one.baseline[clients] for one in rounds]
        findings += _of("one transaction a request", results, clients)
    return tuple(findings)


def _of(who: str, results: Sequence[LoadResult], clients: int) -> list[Finding]:
    subject = f"{who}, {clients} client{'s' if clients > 1 else ''}"
    return [
        Finding(subject, "1/s", Spread.of(one.per_second for one in results)),
        Finding(f"{subject}, p50", "ms", Spread.of(one.p50_ms for one in results)),
        Finding(f"{subject}, p99", "ms", Spread.of(one.p99_ms for one in results)),
    ]


MEASUREMENT = Measurement(
    "stores",
    "Memories of 1 kB over HTTP at the keyword tier, each on disk before it is answered. Beside it"
    " the bare store (no HTTP, merge or digest) and a bare server that commits once a request, all"
    " on the same tables and text index.",
    run,
)

"""How fast the bare store takes rows, by rows a transaction; the ruler for everything with HTTP."""

import time
from pathlib import Path

from bench.baseline.raw_writes import RawStore
from bench.baseline.rows import Row, make_rows
from bench.baseline.template import Template, learn
from bench.measurement import Finding, Measurement, Options, Spread, ratios

BATCHES = (1, 10, 50)
ROWS_DEFAULT = 6_000


def rows_per_second(file: Path, template: Template, rows: list[Row], batch: int) -> float:
    """Store all rows into a new file, `batch` a transaction; making the rows is not timed."""
    store = RawStore(file, template)
    try:
        started = time.perf_counter()
        for start in range(0, len(rows), batch):
            store.commit(rows[start : start + batch])
        took = time.perf_counter() - started
        assert store.count() == len(rows), "the baseline lost rows"
    finally:
        store.close()
    return len(rows) / took


def run(options: Options) -> tuple[Finding, ...]:
    template = learn(options.scratch / "template")
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    for round_number in range(options.repeats):
        rows = make_rows(options.rows or ROWS_DEFAULT, round_number)
        for batch in BATCHES:
            file = options.scratch / f"raw-{round_number}-{batch}.db"
            rates[batch].append(rows_per_second(file, template, rows, batch))
    plain = tuple(
        Finding(f"{batch} rows a transaction", "1/s", Spread.of(rates[batch])) for batch in BATCHES
    )
    gains = tuple(
        Finding(f"{batch} rows a transaction / 1 row", "x", ratios(rates[batch], rates[1]))
        for batch in BATCHES[1:]
    )
    return (*plain, *gains)


MEASUREMENT = Measurement(
    "baseline",
    "Memories of 1 kB into a new SQLite file, one thread, no HTTP: all that the node writes for"
    " them, in rows of the node's size (memory, text index, state, name, log entry, text hash;"
    " digests, log head and quotas once a commit), `synchronous=FULL`.",
    run,
)

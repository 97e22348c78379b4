"""How fast a node gets the rows that it lacks, beside applying the same rows without a network."""

import asyncio
import gc
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.bootstrap.sources import SystemClock, SystemDisk, SystemRandomness
from app.log.entry import Entry
from app.replication.options import BATCH_BYTES
from app.store.registry import StoreOptions, open_store
from app.store.sqlite.adapter import Sources, SqliteStore
from bench.baseline.rows import make_rows
from bench.baseline.template import store_command
from bench.load.meshes import ENTRY, Mesh, made_mesh
from bench.measurement import (
    Finding,
    Measurement,
    MeasurementError,
    Options,
    Spread,
    at_least,
    at_most,
    ratios,
)

ROWS_DEFAULT = 100_000
SECONDS_MAX = 60.0
LATE = "node-b"
ROWS_A_COMMAND = 500
GIVE_UP_SECONDS = 600.0
POLL_SECONDS = 0.2

Runs = Sequence[Sequence[Entry]]


@dataclass(frozen=True)
class Round:
    """What one round gave; rates in rows a second, the rest as its name says.

    Attributes:
        equal_seconds: From the start of the late node's process until both nodes are equal.
    """

    applied: float
    caught_up: float
    equal_seconds: float
    late_us: float
    entry_us: float


def run(options: Options) -> tuple[Finding, ...]:
    count = options.rows or ROWS_DEFAULT
    filled = options.scratch / "filled"
    runs = asyncio.run(_fill(filled / "store.db", count))
    rounds = [_round(number, options.scratch, filled, runs) for number in range(options.repeats)]
    applied, caught_up = [one.applied for one in rounds], [one.caught_up for one in rounds]
    seconds = Spread.of(one.equal_seconds for one in rounds)
    target = at_most(SECONDS_MAX) if count == ROWS_DEFAULT else None
    return (
        Finding("rows caught up / rows applied", "x", ratios(caught_up, applied), at_least(0.5)),
        Finding(f"{count:,} rows behind until equal, boot included", "s", seconds, target),
        Finding("rows caught up", "1/s", Spread.of(caught_up)),
        Finding("rows applied, in batches of the same size", "1/s", Spread.of(applied)),
        Finding("computed by the late node a row", "us", Spread.of(one.late_us for one in rounds)),
        Finding("computed by the other one a row", "us", Spread.of(one.entry_us for one in rounds)),
    )


def _round(number: int, scratch: Path, filled: Path, runs: Runs) -> Round:
    folder = scratch / f"round-{number}"
    folder.mkdir()
    rows = sum(len(one) for one in runs)
    if number % 2:
        found = _caught_up(folder, filled, rows)
        applied = asyncio.run(_applied(folder / "applied.db", runs))
    else:
        applied = asyncio.run(_applied(folder / "applied.db", runs))
        found = _caught_up(folder, filled, rows)
    shutil.rmtree(folder)
    return Round(applied, *found)


def _opened(path: Path) -> SqliteStore:
    path.parent.mkdir(parents=True, exist_ok=True)
    return open_store(
        StoreOptions(path, mmap_bytes=0, model=None, dim=0, index_texts=True),
        Sources(SystemClock(), SystemRandomness(), SystemDisk()),
        lambda _what, _done, _total: None,
    )


async def _fill(path: Path, count: int) -> Runs:
    """Store the rows in a new store; its log, in runs as a lane would send them."""
    store = _opened(path)
    try:
        for start in range(0, count, ROWS_A_COMMAND):
            rows = make_rows(min(ROWS_A_COMMAND, count - start), start)
            now = datetime.now(UTC)
            for receipt in await store.submit_all([store_command(row, now) for row in rows]):
                if isinstance(receipt, Exception):
                    raise MeasurementError(f"a row was refused: {receipt}") from receipt
        return await _log_of(store)
    finally:
        await store.close()


async def _log_of(store: SqliteStore) -> Runs:
    origin, after = store.identity.origin, 0
    runs: list[Sequence[Entry]] = []
    while (found := await store.log_run(origin, after, BATCH_BYTES)) is not None:
        runs.append(found.entries)
        after = found.entries[-1].seq
    return runs


async def _applied(path: Path, runs: Runs) -> float:
    """Rows a second into an empty store, one transaction a run."""
    store = _opened(path)
    gc.collect()
    gc.freeze()  # a node holds none of these entries: its collector would not look through them
    try:
        started = time.perf_counter()
        applied = 0
        for entries in runs:
            applied += (await store.append_foreign(entries)).applied
        took = time.perf_counter() - started
    finally:
        gc.unfreeze()
        await store.close()
    if applied != sum(len(one) for one in runs):
        raise MeasurementError(f"only {applied} rows were applied")
    return applied / took


def _caught_up(folder: Path, filled: Path, rows: int) -> tuple[float, float, float, float]:
    """Rates and costs of a node that joins one with all rows; see `Round`."""
    with made_mesh(folder / "mesh", nodes=2, writes=1) as mesh:
        for file in _closed_files(filled):
            shutil.copy(file, mesh.entry.folder)
        mesh.start(ENTRY)
        (late,) = [node for node in mesh.nodes if node.name == LATE]
        launched = time.perf_counter()
        mesh.start(LATE)
        before, computed = _rows(mesh), mesh.processor_seconds()
        if before == rows:
            raise MeasurementError(f"{rows} rows are too few: all had come at the first look")
        began = time.perf_counter()
        while (found := _rows(mesh)) < rows:
            if time.perf_counter() - began > GIVE_UP_SECONDS:
                raise MeasurementError(f"{found} of {rows} rows came:\n{late.tail()}")
            time.sleep(POLL_SECONDS)
        ended = time.perf_counter()
        after = mesh.processor_seconds()
        mesh.wait_until_equal()
    late_us, entry_us = (
        1e6 * (after[name] - computed[name]) / (rows - before) for name in (LATE, ENTRY)
    )
    return (rows - before) / (ended - began), ended - launched, late_us, entry_us


def _closed_files(folder: Path) -> Iterator[Path]:
    return (one for one in folder.iterdir() if one.suffix != ".sock")


def _rows(mesh: Mesh) -> int:
    """How many entries the late node holds."""
    (late,) = [node for node in mesh.nodes if node.name == LATE]
    return sum(mesh.seen(late).clock.values())


MEASUREMENT = Measurement(
    "mesh-catchup",
    "A new node beside one that holds many memories of 1 kB: it lacks them all and gets them from"
    " the other one's log over mutual TLS, both on this machine. Beside it the same entries applied"
    " to an empty store in one process, in batches of the same size.",
    run,
)

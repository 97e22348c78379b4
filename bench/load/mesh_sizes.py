"""Meshes of several sizes: what a peer costs, the original's own workload, and many entry nodes."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import quantiles

from bench.load.mesh import Loaded, under_load
from bench.load.meshes import Mesh, running_mesh
from bench.load.writers import Written, bodies, write_all
from bench.load.wrk import LoadDriver
from bench.measurement import Finding, Measurement, Options, Spread, at_most, ratios

SIZES = (2, 4, 8)
CLIENTS = 100
WRITES = 2
WARM_UP_SECONDS = 1.0
PUBLISHED_SIZES = {2: 2, 5: 3, 10: 6}
"""Nodes -> copies of each write, as published."""
PUBLISHED_ROWS = 1_000
PUBLISHED_CHARACTERS = 120
PUBLISHED_CLIENTS = 8
EVERYWHERE_NODES = 3
EVERYWHERE_CLIENTS = 8
EVERYWHERE_ROWS = 3_000
CHARACTERS = 1_000


@dataclass(frozen=True)
class Batch:
    """A given number of writes.

    Attributes:
        equal_seconds: From the first request until all nodes held everything.
    """

    per_second: float
    p50_ms: float
    p95_ms: float
    equal_seconds: float


@dataclass(frozen=True)
class Round:
    """What one round gave, by number of nodes."""

    loads: dict[int, Loaded]
    published: dict[int, Batch]
    everywhere: Batch


def run(options: Options) -> tuple[Finding, ...]:
    driver = LoadDriver(options.scratch)
    rounds = [_round(number, options, driver) for number in range(options.repeats)]
    return (*_of_sizes(rounds), *_of_published(rounds), *_of_everywhere(rounds))


def _round(number: int, options: Options, driver: LoadDriver) -> Round:
    folder = options.scratch / f"round-{number}"
    loads: dict[int, Loaded] = {}
    # Who goes first changes every round, so that a machine that slows down favours nobody.
    for nodes in SIZES[::-1] if number % 2 else SIZES:
        with running_mesh(folder / f"of-{nodes}", nodes, WRITES) as mesh:
            driver.stores(mesh.entry.url, CLIENTS, WARM_UP_SECONDS)
            loads[nodes] = under_load(mesh, driver, CLIENTS, options.seconds)
    published = {
        nodes: _published(folder / f"published-{nodes}", nodes, writes)
        for nodes, writes in PUBLISHED_SIZES.items()
    }
    return Round(loads, published, _everywhere(folder / "everywhere"))


def _published(folder: Path, nodes: int, writes: int) -> Batch:
    with running_mesh(folder, nodes, writes) as mesh:
        _warm_up(mesh, [mesh.entry.url])
        made = bodies(PUBLISHED_ROWS, PUBLISHED_CHARACTERS, "row")
        return _batch(mesh, [mesh.entry.url], PUBLISHED_CLIENTS, made)


def _everywhere(folder: Path) -> Batch:
    with running_mesh(folder, EVERYWHERE_NODES, WRITES, plain=()) as mesh:
        urls = [node.url for node in mesh.nodes]
        _warm_up(mesh, urls)
        return _batch(mesh, urls, EVERYWHERE_CLIENTS, bodies(EVERYWHERE_ROWS, CHARACTERS, "row"))


def _warm_up(mesh: Mesh, urls: Sequence[str]) -> None:
    asyncio.run(write_all(mesh.fleet, urls, 1, bodies(20 * len(urls), CHARACTERS, "warm-up")))
    mesh.wait_until_equal()


def _batch(mesh: Mesh, urls: Sequence[str], clients: int, made: Sequence[bytes]) -> Batch:
    written: list[Written] = asyncio.run(write_all(mesh.fleet, urls, clients, made))
    mesh.wait_until_equal()
    equal = time.perf_counter()
    began = min(one.began for one in written)
    ended = max(one.ended for one in written)
    waits = quantiles(chain.from_iterable(one.waits_ms for one in written), n=100)
    return Batch(len(made) / (ended - began), waits[49], waits[94], equal - began)


def _of_sizes(rounds: Sequence[Round]) -> list[Finding]:
    costs = {nodes: [one.loads[nodes].entry_us for one in rounds] for nodes in SIZES}
    found = [
        Finding(
            "computed by the entry node a write, 8 nodes / 2 nodes",
            "x",
            ratios(costs[8], costs[2]),
            at_most(1.67),
        )
    ]
    for nodes in SIZES:
        loads = [one.loads[nodes] for one in rounds]
        of = f"{nodes} nodes, {CLIENTS} clients at one"
        found += [
            Finding(f"{of}, computed by it a write", "us", Spread.of(costs[nodes])),
            Finding(of, "1/s", Spread.of(one.load.per_second for one in loads)),
            Finding(f"{of}, rows a push", "rows", Spread.of(one.rows_a_push for one in loads)),
        ]
    return found


def _of_published(rounds: Sequence[Round]) -> list[Finding]:
    found: list[Finding] = []
    for nodes, writes in PUBLISHED_SIZES.items():
        of = f"{PUBLISHED_ROWS:,} rows of {PUBLISHED_CHARACTERS} B, {nodes} nodes, W={writes}"
        found += _findings(of, [one.published[nodes] for one in rounds])
    return found


def _of_everywhere(rounds: Sequence[Round]) -> list[Finding]:
    of = f"{EVERYWHERE_NODES} nodes, {EVERYWHERE_CLIENTS} clients at each over mutual TLS"
    return _findings(of, [one.everywhere for one in rounds])


def _findings(of: str, batches: Sequence[Batch]) -> list[Finding]:
    return [
        Finding(of, "1/s", Spread.of(one.per_second for one in batches)),
        Finding(f"{of}, p50", "ms", Spread.of(one.p50_ms for one in batches)),
        Finding(f"{of}, p95", "ms", Spread.of(one.p95_ms for one in batches)),
        Finding(f"{of}, until all are equal", "s", Spread.of(one.equal_seconds for one in batches)),
    ]


MEASUREMENT = Measurement(
    "mesh-sizes",
    "All nodes on this machine at the keyword tier, mutual TLS between them. Memories of 1 kB,"
    " W=2, all clients at one node; then v0.7.0's published workload, 1,000 rows of 120 B from 8"
    " clients at one node: it published 250 writes/s, p50 31 ms, p95 55 ms and 6.1 s until all were"
    " equal for 2 nodes with W=2, 219, 34, 62 and 6.7 for 5 with W=3, 104, 60, 182 and 11.7 for 10"
    " with W=6, without TLS, on 14 cores, with its pauses of 5 s between catch-ups. That is other"
    " hardware: the figures stand beside one another and make no ratio. Then memories of 1 kB"
    " written at every node at once.",
    run,
)

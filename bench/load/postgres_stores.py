"""Durable stores a second over HTTP on PostgreSQL, beside the rows that the server takes bare."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.baseline import raw_server
from bench.baseline.rows import make_rows
from bench.baseline.template import Template, learn
from bench.load.servers import started_node
from bench.load.wrk import LoadDriver, LoadResult
from bench.measurement import (
    Finding,
    Measurement,
    MeasurementError,
    Options,
    Spread,
    at_least,
    ratios,
)
from bench.postgres_store import new_database, server
from tools.postgres.cluster import Cluster

CLIENTS = (20, 100)
WARM_UP_SECONDS = 1.0
RAW_ROWS_DEFAULT = 4_000
# Rows a transaction: about what forms behind so many clients.
RAW_BATCHES = {20: 10, 100: 50}
# The server's defaults, but for flushing, and for checkpoints in the middle of a run.
SETTINGS = {"fsync": "on", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
MEMORY_DISKS = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True)
class Round:
    """What one round gave, by clients; each contestant on a new database.

    `server`: as `raw`, with every parameter made beforehand.
    """

    raw: dict[int, float]
    server: dict[int, float]
    node: dict[int, LoadResult]


class Contest:
    """One server, and the contestants on it."""

    def __init__(self, cluster: Cluster, template: Template, options: Options) -> None:
        self._cluster = cluster
        self._template = template
        self._options = options
        self._driver = LoadDriver(options.scratch)

    def round(self, number: int) -> Round:
        # Who goes first changes every round, so that a machine that slows down favours nobody.
        if number % 2:
            node = self._node(number)
            raw, of_server = self._raw(number)
        else:
            raw, of_server = self._raw(number)
            node = self._node(number)
        return Round(raw, of_server, node)

    def _raw(self, number: int) -> tuple[dict[int, float], dict[int, float]]:
        rows = make_rows(self._options.rows or RAW_ROWS_DEFAULT, number)
        rates: tuple[dict[int, float], dict[int, float]] = ({}, {})
        ways = (raw_server.rows_per_second, raw_server.rows_per_second_of_server)
        for clients, batch in RAW_BATCHES.items():
            for found, way in zip(rates, ways, strict=True):
                name = f"{way.__name__}_{number}_{batch}"
                found[clients] = way(self._new(name), self._template, rows, batch)
                self._drop(name)
        return rates

    def _node(self, number: int) -> dict[int, LoadResult]:
        name = f"node_{number}"
        with started_node(self._options.scratch / name, store_url=self._new(name)) as node:
            self._driver.stores(node.url, CLIENTS[0], WARM_UP_SECONDS)
            found = {
                clients: self._driver.stores(node.url, clients, self._options.seconds)
                for clients in CLIENTS
            }
        self._drop(name)
        return found

    def _new(self, name: str) -> str:
        address = new_database(self._cluster, name)
        self._cluster.execute("CHECKPOINT")
        return address

    def _drop(self, name: str) -> None:
        self._cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run(options: Options) -> tuple[Finding, ...]:
    template = learn(options.scratch / "template")
    with server(SETTINGS) as cluster:
        _check_disk(cluster.folder)
        raw_server.check_tables(new_database(cluster, "checked"))
        contest = Contest(cluster, template, options)
        rounds = [contest.round(number) for number in range(options.repeats)]
    return (*_ratio_findings(rounds), *_plain_findings(rounds))


def _check_disk(folder: Path) -> None:
    """Flushing to memory costs nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(place, kind) for place, kind in mounts if folder.is_relative_to(place)]
    if max(holding, key=lambda one: len(one[0]))[1] in MEMORY_DISKS:
        raise MeasurementError(f"{folder} is in memory: set TMPDIR to a folder on a disk")


def _ratio_findings(rounds: Sequence[Round]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            f"{clients} clients / raw, {RAW_BATCHES[clients]} rows a commit",
            "x",
            ratios(
                [one.node[clients].per_second for one in rounds],
                [one.raw[clients] for one in rounds],
            ),
            at_least(0.5),
        )
        for clients in CLIENTS
    )


def _plain_findings(rounds: Sequence[Round]) -> tuple[Finding, ...]:
    findings: list[Finding] = []
    for clients in CLIENTS:
        subject = f"raw, {RAW_BATCHES[clients]} rows a commit"
        findings += [
            Finding(subject, "1/s", Spread.of(one.raw[clients] for one in rounds)),
            Finding(
                f"{subject}, parameters made beforehand",
                "1/s",
                Spread.of(one.server[clients] for one in rounds),
            ),
        ]
    for clients in CLIENTS:
        results = [one.node[clients] for one in rounds]
        subject = f"node, {clients} clients"
        findings += [
            Finding(subject, "1/s", Spread.of(one.per_second for one in results)),
            Finding(f"{subject}, p50", "ms", Spread.of(one.p50_ms for one in results)),
            Finding(f"{subject}, p99", "ms", Spread.of(one.p99_ms for one in results)),
        ]
    return tuple(findings)


MEASUREMENT = Measurement(
    "postgres-stores",
    "Memories of 1 kB over HTTP at the keyword tier on PostgreSQL 18 with `synchronous_commit`, a"
    " server on the same machine with the node and the clients. Beside it rows of the same tables"
    " by one connection, one statement a table and transaction, an array a column: no HTTP, reads,"
    " merge or digest.",
    run,
)

"""Reads while others write: one client's reads at rest, and under bursts of 500 rows."""

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles

from bench.baseline.raw_embedding import open_embedder
from bench.corpus_store import copied, identifier_of
from bench.load.client import Client
from bench.load.servers import started_node
from bench.measurement import (
    Finding,
    Measurement,
    MeasurementError,
    Options,
    Spread,
    at_most,
    ratios,
)
from bench.process import wait_until_idle
from tests.integration.node import REPOSITORY, Node

ROWS_DEFAULT = 100_000
STOP_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Latencies:
    """Milliseconds, of reads by id and of keyword recalls."""

    get: list[float]
    recall: list[float]


@dataclass(frozen=True)
class Round:
    """One round: at rest, under bursts, and how long each burst took."""

    idle: Latencies
    busy: Latencies
    bursts: list[float]


class Reader:
    """One client that alternates between a read by id and a recall."""

    def __init__(self, client: Client, row_count: int, questions: Sequence[str]) -> None:
        self._client = client
        self._row_count = row_count
        self._questions = questions
        self._chance = random.Random(1)

    def read(self, seconds: float) -> Latencies:
        found = Latencies([], [])
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            number = self._chance.randrange(self._row_count)
            found.get.append(self._client.get(f"/api/v1/memories/{identifier_of(number)}"))
            found.recall.append(self._client.recall(self._chance.choice(self._questions)))
        return found


def run(options: Options) -> tuple[Finding, ...]:
    row_count = options.rows or ROWS_DEFAULT
    folder = options.scratch / "reads"
    embedder = open_embedder()
    try:
        store = copied(row_count, folder, embedder)
    finally:
        embedder.close()
    with started_node(folder, "keyword") as node, Client(node.url) as client:
        reader = Reader(client, row_count, store.questions)
        wait_until_idle(node.pid)
        reader.read(options.seconds / 2)
        rounds = [
            _round(number, node, reader, options.seconds) for number in range(options.repeats)
        ]
    return _findings(rounds)


def _round(number: int, node: Node, reader: Reader, seconds: float) -> Round:
    wait_until_idle(node.pid)
    idle = reader.read(seconds)
    with _bursts(node.url, number) as bursts:
        busy = reader.read(seconds)
    return Round(idle, busy, bursts)


@contextmanager
def _bursts(url: str, number: int) -> Iterator[list[float]]:
    """Keep storing 500 rows a request, one request after another; yields how long each took."""
    words = ["-m", "bench.load.bursts", "--url", url, "--round", str(number)]
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    took: list[float] = []
    try:
        if process.stdout.readline() != "ready\n":
            raise MeasurementError("the process that writes in bursts did not start")
        process.stdin.write("go\n")
        process.stdin.flush()
        yield took
        ended_early = process.poll() is not None
        output, _ = process.communicate("stop\n", timeout=STOP_SECONDS_MAX)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    took.extend(float(line) for line in output.split())
    if ended_early or process.returncode or not took:
        raise MeasurementError("the bursts did not last as long as the reads beside them")


def _findings(rounds: Sequence[Round]) -> tuple[Finding, ...]:
    def of(pick: Callable[[Round], list[float]], of_all: Callable[[list[float]], float]) -> Spread:
        return Spread.of(of_all(pick(one)) for one in rounds)

    get_busy = [_p99(one.busy.get) for one in rounds]
    get_idle = [_p99(one.idle.get) for one in rounds]
    recall_busy = [_p99(one.busy.recall) for one in rounds]
    recall_idle = [_p99(one.idle.recall) for one in rounds]
    return (
        Finding(
            "read by id under bursts, p99 / p99 at rest",
            "x",
            ratios(get_busy, get_idle),
            at_most(2.0),
        ),
        Finding(
            "keyword recall under bursts, p99 / p99 at rest",
            "x",
            ratios(recall_busy, recall_idle),
            at_most(2.0),
        ),
        Finding("read by id at rest, p50", "ms", of(lambda r: r.idle.get, median)),
        Finding("read by id at rest, p99", "ms", of(lambda r: r.idle.get, _p99)),
        Finding("read by id under bursts, p50", "ms", of(lambda r: r.busy.get, median)),
        Finding("read by id under bursts, p99", "ms", of(lambda r: r.busy.get, _p99)),
        Finding("keyword recall at rest, p50", "ms", of(lambda r: r.idle.recall, median)),
        Finding("keyword recall at rest, p99", "ms", of(lambda r: r.idle.recall, _p99)),
        Finding("keyword recall under bursts, p50", "ms", of(lambda r: r.busy.recall, median)),
        Finding("keyword recall under bursts, p99", "ms", of(lambda r: r.busy.recall, _p99)),
        Finding("a burst of 500 rows", "ms", of(lambda r: r.bursts, median)),
    )


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


MEASUREMENT = Measurement(
    "reads",
    "One client's reads by id and keyword recalls at the keyword tier, while another process stores"
    " 500 memories of 1 kB a request, one request after another without a pause, against the same"
    " reads at rest.",
    run,
)

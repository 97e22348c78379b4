"""What embeddings cost a store, and how fast the node catches up with them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.baseline.raw_embedding import embeddings_per_second, open_embedder
from bench.baseline.rows import Row, make_rows
from bench.load.servers import running_node
from bench.load.wrk import LoadDriver, LoadResult
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

CLIENTS = (1, 20)
DRAINED_ROWS_DEFAULT = 200
DRAIN_SECONDS_MAX = 300.0
POLL_SECONDS = 0.1
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Round:
    """What one round gave."""

    off: dict[int, LoadResult]
    on: dict[int, LoadResult]
    raw_rate: float
    drain_rate: float


def run(options: Options) -> tuple[Finding, ...]:
    driver = LoadDriver(options.scratch)
    rounds = [_round(number, options, driver) for number in range(options.repeats)]
    findings = []
    for clients in CLIENTS:
        on = [one.on[clients].p50_ms for one in rounds]
        off = [one.off[clients].p50_ms for one in rounds]
        subject = f"p50 of a store at {clients} client{'s' if clients > 1 else ''}"
        findings += [
            Finding(f"{subject}, embeddings on / off", "x", ratios(on, off), at_most(1.2)),
            Finding(f"{subject}, off", "ms", Spread.of(off)),
            Finding(f"{subject}, on", "ms", Spread.of(on)),
        ]
    raw, drain = [one.raw_rate for one in rounds], [one.drain_rate for one in rounds]
    return (
        *findings,
        Finding("backlog drained / raw embedding", "x", ratios(drain, raw), at_least(0.8)),
        Finding("raw embedding, one thread", "1/s", Spread.of(raw)),
        Finding("backlog drained", "1/s", Spread.of(drain)),
    )


def _round(number: int, options: Options, driver: LoadDriver) -> Round:
    folder = options.scratch / f"round-{number}"
    rows = make_rows(options.rows or DRAINED_ROWS_DEFAULT, number)
    tiers = ("keyword", "semantic") if number % 2 else ("semantic", "keyword")
    loads = {tier: _under_load(folder / tier, tier, options, driver) for tier in tiers}
    embedder = open_embedder()
    try:
        raw_rate = embeddings_per_second(embedder, rows)
    finally:
        embedder.close()  # its threads must not compete with the node's
    return Round(loads["keyword"], loads["semantic"], raw_rate, _drain(folder / "drain", rows))


def _under_load(
    folder: Path, tier: str, options: Options, driver: LoadDriver
) -> dict[int, LoadResult]:
    with running_node(folder, tier) as url:
        driver.stores(url, CLIENTS[0], WARM_UP_SECONDS)
        return {clients: driver.stores(url, clients, options.seconds) for clients in CLIENTS}


def _drain(folder: Path, rows: Sequence[Row]) -> float:
    """Store all rows at once, and measure from the answer until nothing waits for its embedding."""
    body = [{"title": one.title, "content": one.content, "namespace": "bench"} for one in rows]
    with (
        running_node(folder, "semantic") as url,
        httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client,
    ):
        client.post("/api/v1/memories/bulk", json=body).raise_for_status()
        started = time.perf_counter()
        first = left = _backlog(client)
        while left:
            if time.perf_counter() - started > DRAIN_SECONDS_MAX:
                raise MeasurementError(f"{left} rows still wait after {DRAIN_SECONDS_MAX:g} s")
            time.sleep(POLL_SECONDS)
            left = _backlog(client)
        if not first:
            raise MeasurementError("the node has no embedding backlog: is its model installed?")
        return first / (time.perf_counter() - started)


def _backlog(client: httpx.Client) -> int:
    stats = client.get("/api/v1/stats").raise_for_status().json()
    return int(stats.get("embedding_backlog", 0))


MEASUREMENT = Measurement(
    "embedding-behind",
    "A store with the local embedding model against one at the keyword tier, and the backlog of"
    " embeddings against the bare model in one thread.",
    run,
)

"""What embeddings cost a store, and how fast the node catches up with them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from bench.baseline.raw_embedding import embeddings_per_second, open_embedder
from bench.baseline.rows import Row, make_rows
from bench.load.client import Client
from bench.load.servers import running_node, started_node
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
QUESTIONS_IDLE = 40
QUESTIONS_BETWEEN_LOOKS = 5
QUESTIONS_MAX = 5_000


@dataclass(frozen=True)
class Round:
    """What one round gave."""

    off: dict[int, LoadResult]
    on: dict[int, LoadResult]
    raw_rate: float
    drain_rate: float
    recall_idle_ms: float
    recall_beside_ms: float


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
    idle = [one.recall_idle_ms for one in rounds]
    beside = [one.recall_beside_ms for one in rounds]
    return (
        *findings,
        Finding("backlog drained / raw embedding", "x", ratios(drain, raw), at_least(0.8)),
        Finding(
            "a recall while the backlog is drained, p50 / at rest, p50",
            "x",
            ratios(beside, idle),
            # Behind the document at hand it would wait some four times its own embedding.
            at_most(2.5),
        ),
        Finding("a recall at rest, p50", "ms", Spread.of(idle)),
        Finding("a recall while the backlog is drained, p50", "ms", Spread.of(beside)),
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
    drain_rate = _drain(folder / "drain", rows)
    idle, beside = _recalls(folder / "recalls", rows, number)
    return Round(loads["keyword"], loads["semantic"], raw_rate, drain_rate, idle, beside)


def _under_load(
    folder: Path, tier: str, options: Options, driver: LoadDriver
) -> dict[int, LoadResult]:
    with running_node(folder, tier) as url:
        driver.stores(url, CLIENTS[0], WARM_UP_SECONDS)
        return {clients: driver.stores(url, clients, options.seconds) for clients in CLIENTS}


def _recalls(folder: Path, rows: Sequence[Row], number: int) -> tuple[float, float]:
    """Median recall in ms, every question a new one: at rest, and while the backlog is drained."""
    with (
        started_node(folder, "semantic") as node,
        Client(node.url) as asking,
        httpx.Client(base_url=node.url, timeout=60.0, trust_env=False) as client,
    ):
        body = [_fields(one) for one in rows]
        client.post("/api/v1/memories/bulk", json=body[: len(body) // 2]).raise_for_status()
        _wait_until_drained(client)
        questions = (f"{row.title} {row.content[:40]}" for row in make_rows(QUESTIONS_MAX, -number))
        idle = [asking.recall(next(questions)) for _ in range(QUESTIONS_IDLE)]
        client.post("/api/v1/memories/bulk", json=body[len(body) // 2 :]).raise_for_status()
        beside = []
        while _backlog(client):
            beside += [asking.recall(next(questions)) for _ in range(QUESTIONS_BETWEEN_LOOKS)]
    if not beside:
        raise MeasurementError("the backlog was gone before a question was asked")
    return median(idle), median(beside)


def _drain(folder: Path, rows: Sequence[Row]) -> float:
    """Store all rows at once, and measure from the answer until nothing waits for its embedding."""
    body = [_fields(one) for one in rows]
    with (
        running_node(folder, "semantic") as url,
        httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client,
    ):
        client.post("/api/v1/memories/bulk", json=body).raise_for_status()
        started = time.perf_counter()
        first = _wait_until_drained(client)
        if not first:
            raise MeasurementError("the node has no embedding backlog: is its model installed?")
        return first / (time.perf_counter() - started)


def _fields(row: Row) -> dict[str, str]:
    return {"title": row.title, "content": row.content, "namespace": row.namespace}


def _wait_until_drained(client: httpx.Client) -> int:
    """Return how many rows waited when this began."""
    give_up_at = time.perf_counter() + DRAIN_SECONDS_MAX
    first = left = _backlog(client)
    while left:
        if time.perf_counter() > give_up_at:
            raise MeasurementError(f"{left} rows still wait after {DRAIN_SECONDS_MAX:g} s")
        time.sleep(POLL_SECONDS)
        left = _backlog(client)
    return first


def _backlog(client: httpx.Client) -> int:
    stats = client.get("/api/v1/stats").raise_for_status().json()
    return int(stats.get("embedding_backlog", 0))


MEASUREMENT = Measurement(
    "embedding-behind",
    "A store with the local embedding model against one at the keyword tier; the backlog of"
    " embeddings against the bare model in one thread; a recall, whose question has to be embedded,"
    " while that backlog is drained, against one at rest.",
    run,
)

"""One, two and three nodes on one PostgreSQL schema: what they write and read together."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench.baseline.rows import make_rows
from bench.load.servers import started_node
from bench.load.wrk import LoadDriver, LoadResult
from bench.measurement import Finding, Measurement, Options, Spread, ratios
from bench.postgres_store import SETTINGS
from bench.process import processor_seconds, processor_seconds_of_family
from tests.integration.node import Node
from tools.postgres.cluster import Cluster
from tools.postgres.obtain import own_cluster

NODES = (1, 2, 3)
CLIENTS = 24
WARM_UP_SECONDS = 1.0
FIRST_ROWS = 10_000
BULK_ROWS = 1_000
WRITES, READS = "writes", "reads"


@dataclass(frozen=True)
class Run:
    """One run under load: requests a second, and microseconds of processors for each."""

    per_second: float
    p50_ms: float
    node_us: float
    server_us: float


Runs = dict[tuple[str, int], Run]
"""What was asked, and of how many nodes."""

SHOWN: Sequence[tuple[str, str, Callable[[Run], float]]] = (
    ("", "1/s", lambda run: run.per_second),
    (", p50", "ms", lambda run: run.p50_ms),
    (", CPU of the nodes", "us", lambda run: run.node_us),
    (", CPU of the server", "us", lambda run: run.server_us),
)


def run(options: Options) -> tuple[Finding, ...]:
    driver = LoadDriver(options.scratch)
    with own_cluster(print) as cluster:
        cluster.halt()
        cluster.start({**SETTINGS, "fsync": "on"})
        rounds = [_round(number, cluster, options, driver) for number in range(options.repeats)]
    return _findings(rounds)


def _round(number: int, cluster: Cluster, options: Options, driver: LoadDriver) -> Runs:
    found: Runs = {}
    database = f"round_{number}"
    with _fleet(cluster, options.scratch / f"round-{number}", database) as nodes:
        path = _fill(nodes[0], number)
        # Else the server would plan for the empty tables that it saw first.
        cluster.execute("ANALYZE", database)
        # Who goes first changes every round: the store grows meanwhile.
        for count in (*NODES[number % len(NODES) :], *NODES[: number % len(NODES)]):
            asked, clients = nodes[:count], CLIENTS // count
            meter = _Meter(nodes, cluster)
            driver.stores(asked[0].url, CLIENTS, WARM_UP_SECONDS)
            write, read = partial(_write, driver, clients), partial(_read, driver, clients, path)
            found[WRITES, count] = meter.measured(asked, partial(write, options.seconds))
            found[READS, count] = meter.measured(asked, partial(read, options.seconds))
    return found


def _write(driver: LoadDriver, clients: int, seconds: float, node: Node) -> LoadResult:
    # A row of quotas belongs to an agent: one that writes through two nodes makes them take turns.
    return driver.stores(node.url, clients, seconds, agent=f"agent-{node.port}")


def _read(driver: LoadDriver, clients: int, path: str, seconds: float, node: Node) -> LoadResult:
    return driver.gets(node.url + path, clients, seconds)


@contextmanager
def _fleet(cluster: Cluster, folder: Path, database: str) -> Iterator[list[Node]]:
    cluster.execute(f"CREATE DATABASE {database}")
    address = cluster.url(database)
    with ExitStack() as stack:
        yield [
            stack.enter_context(started_node(folder / f"node-{one}", store_url=address))
            for one in range(max(NODES))
        ]
    cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")


def _fill(node: Node, seed: int) -> str:
    """Store the first rows; the path of one of them."""
    ids: list[str] = []
    with httpx.Client(base_url=f"{node.url}/api/v1", timeout=60.0, trust_env=False) as client:
        for part in range(FIRST_ROWS // BULK_ROWS):
            rows = make_rows(BULK_ROWS, -1 - part - 100 * seed)
            body = [{"title": one.title, "content": one.content} for one in rows]
            reply = client.post("/memories/bulk", json=body).raise_for_status()
            ids += reply.json()["ids"]
    return f"/api/v1/memories/{ids[0]}"


class _Meter:
    """Loads several nodes at once, and reads the processors' time of them and of the server."""

    def __init__(self, nodes: Sequence[Node], cluster: Cluster) -> None:
        self._pids = [node.pid for node in nodes]
        self._server = int((cluster.data / "postmaster.pid").read_text().split()[0])

    def measured(self, asked: Sequence[Node], load: Callable[[Node], LoadResult]) -> Run:
        nodes, server = self._read()
        with ThreadPoolExecutor(len(asked)) as threads:
            results = list(threads.map(load, asked))
        nodes_after, server_after = self._read()
        per_second = sum(one.per_second for one in results)
        requests = sum(one.per_second * one.seconds for one in results)
        return Run(
            per_second,
            max(one.p50_ms for one in results),
            1e6 * (nodes_after - nodes) / requests,
            1e6 * (server_after - server) / requests,
        )

    def _read(self) -> tuple[float, float]:
        nodes = sum(processor_seconds(pid) for pid in self._pids)
        return nodes, processor_seconds_of_family(self._server)


def _findings(rounds: Sequence[Runs]) -> tuple[Finding, ...]:
    def of(what: str, count: int, pick: Callable[[Run], float]) -> list[float]:
        return [pick(one[what, count]) for one in rounds]

    def rate(what: str, count: int) -> list[float]:
        return of(what, count, lambda run: run.per_second)

    findings: list[Finding] = []
    for what in (WRITES, READS):
        findings += [
            Finding(f"{what}: {count} nodes / 1", "x", ratios(rate(what, count), rate(what, 1)))
            for count in NODES[1:]
        ]
        for count in NODES:
            name = f"{what}, {count} node{'s' if count > 1 else ''}"
            for subject, unit, pick in SHOWN:
                values = Spread.of(of(what, count, pick))
                findings.append(Finding(f"{name}{subject}", unit, values))
    return tuple(findings)


MEASUREMENT = Measurement(
    "shared-schema",
    f"Memories of 1 kB stored over HTTP, and one read by id, by {CLIENTS} clients spread over one,"
    " two and three nodes on one schema of PostgreSQL. Clients, nodes and server share one machine,"
    " so rates do not grow with the nodes here: what each request costs node and server tells what"
    " machines of their own would do.",
    run,
)

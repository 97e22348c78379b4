"""Quorum writes a second, beside a node without peers and beside one POST a write and peer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.load.meshes import ENTRY, Mesh, running_mesh
from bench.load.servers import running_one_post
from bench.load.wrk import LoadDriver, LoadResult
from bench.measurement import Finding, Measurement, Options, Spread, at_least, at_most, ratios

CLIENTS = (20, 100)
NODES = 3
WRITES = 2
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Loaded:
    """One run under load against real nodes.

    Attributes:
        entry_us: What the entry node computed for a write, in microseconds, until all were equal.
        peer_us: The same of a peer, on average.
        rows_a_push: Entries in a batch to a peer.
    """

    load: LoadResult
    entry_us: float
    peer_us: float
    rows_a_push: float


@dataclass(frozen=True)
class Round:
    """What one round gave, by number of clients: every contestant once, on new databases."""

    alone: dict[int, Loaded]
    mesh: dict[int, Loaded]
    one_post: dict[int, LoadResult]
    one_post_alone: dict[int, LoadResult]
    duplicates: int


def run(options: Options) -> tuple[Finding, ...]:
    driver = LoadDriver(options.scratch)
    rounds = [_round(number, options, driver) for number in range(options.repeats)]
    return (*_targets(rounds), *_plain(rounds))


def under_load(mesh: Mesh, driver: LoadDriver, clients: int, seconds: float) -> Loaded:
    """Write to the entry node, and wait until its peers have it all."""
    mesh.wait_until_equal()
    computed, pushed = mesh.processor_seconds(), mesh.pushed()
    load = driver.stores(mesh.entry.url, clients, seconds)
    mesh.wait_until_equal()
    after, sent = mesh.processor_seconds(), mesh.pushed()
    spent = {name: 1e6 * (after[name] - computed[name]) / load.requests for name in after}
    peers = [us for name, us in spent.items() if name != ENTRY]
    batches = sent.batches - pushed.batches
    return Loaded(
        load,
        spent[ENTRY],
        sum(peers) / len(peers) if peers else 0.0,
        (sent.entries - pushed.entries) / batches if batches else 0.0,
    )


def _round(number: int, options: Options, driver: LoadDriver) -> Round:
    folder = options.scratch / f"round-{number}"
    found: dict[str, dict[int, Loaded]] = {}
    bare: dict[str, dict[int, LoadResult]] = {}
    duplicates = 0

    def mesh(name: str, nodes: int, writes: int) -> None:
        nonlocal duplicates
        with running_mesh(folder / name, nodes, writes) as running:
            driver.stores(running.entry.url, CLIENTS[0], WARM_UP_SECONDS)
            found[name] = {
                count: under_load(running, driver, count, options.seconds) for count in CLIENTS
            }
            duplicates += running.duplicates()

    def one_post(name: str, peers: int, writes: int) -> None:
        with running_one_post(folder / name, peers, writes) as url:
            driver.stores(url, CLIENTS[0], WARM_UP_SECONDS)
            bare[name] = {count: driver.stores(url, count, options.seconds) for count in CLIENTS}

    contestants: list[Callable[[], None]] = [
        partial(mesh, "alone", 1, 1),
        partial(mesh, "mesh", NODES, WRITES),
        partial(one_post, "one-post", NODES - 1, WRITES),
        partial(one_post, "one-post-alone", 0, 1),
    ]
    # Who goes first changes every round, so that a machine that slows down favours nobody.
    for contestant in contestants[::-1] if number % 2 else contestants:
        contestant()
    return Round(
        found["alone"], found["mesh"], bare["one-post"], bare["one-post-alone"], duplicates
    )


def _targets(rounds: Sequence[Round]) -> tuple[Finding, ...]:
    def mesh(clients: int) -> list[float]:
        return [one.mesh[clients].load.per_second for one in rounds]

    def alone(clients: int) -> list[float]:
        return [one.alone[clients].load.per_second for one in rounds]

    def one_post(clients: int) -> list[float]:
        return [one.one_post[clients].per_second for one in rounds]

    tails = {
        clients: Spread.of(
            one.mesh[clients].load.p99_ms / one.mesh[clients].load.p50_ms for one in rounds
        )
        for clients in CLIENTS
    }
    pushes = Spread.of(one.mesh[100].rows_a_push for one in rounds)
    single = "one POST a write and peer"
    return (
        Finding("20 clients / no peers", "x", ratios(mesh(20), alone(20)), at_least(0.5)),
        Finding("100 clients / no peers", "x", ratios(mesh(100), alone(100)), at_least(0.6)),
        Finding(f"20 clients / {single}", "x", ratios(mesh(20), one_post(20)), at_least(2.0)),
        Finding(f"100 clients / {single}", "x", ratios(mesh(100), one_post(100)), at_least(3.0)),
        Finding("p99 / p50 at 20 clients", "x", tails[20], at_most(4.0)),
        Finding("p99 / p50 at 100 clients", "x", tails[100], at_most(4.0)),
        Finding("rows a push at 100 clients", "rows", pushes, at_least(25.0)),
        Finding(
            "entries that came twice",
            "rows",
            Spread.of(one.duplicates for one in rounds),
            at_most(0),
        ),
    )


def _plain(rounds: Sequence[Round]) -> list[Finding]:
    found: list[Finding] = []
    for clients in CLIENTS:
        for who, loaded in (
            ("quorum", [one.mesh[clients] for one in rounds]),
            ("no peers", [one.alone[clients] for one in rounds]),
        ):
            found += _load(f"{who}, {clients} clients", [one.load for one in loaded])
            found.append(
                Finding(
                    f"{who}, {clients} clients, computed by the entry node a write",
                    "us",
                    Spread.of(one.entry_us for one in loaded),
                )
            )
        meshes = [one.mesh[clients] for one in rounds]
        found += [
            Finding(
                f"quorum, {clients} clients, computed by a peer a write",
                "us",
                Spread.of(one.peer_us for one in meshes),
            ),
            Finding(
                f"quorum, {clients} clients, rows a push",
                "rows",
                Spread.of(one.rows_a_push for one in meshes),
            ),
        ]
        single = [one.one_post[clients] for one in rounds]
        bare = [one.one_post_alone[clients] for one in rounds]
        kept = ratios((one.per_second for one in single), (one.per_second for one in bare))
        subject = f"one POST a write and peer, {clients} clients"
        found += [Finding(f"{subject} / the same server without peers", "x", kept)]
        found += _load(subject, single)
        found += _load(f"the same server without peers, {clients} clients", bare)
    return found


def _load(subject: str, results: Sequence[LoadResult]) -> list[Finding]:
    return [
        Finding(subject, "1/s", Spread.of(one.per_second for one in results)),
        Finding(f"{subject}, p50", "ms", Spread.of(one.p50_ms for one in results)),
        Finding(f"{subject}, p99", "ms", Spread.of(one.p99_ms for one in results)),
    ]


MEASUREMENT = Measurement(
    "mesh",
    "Memories of 1 kB, each on the disks of two of three nodes before it is answered; clients call"
    " one node without TLS, peers speak mutual TLS, all on this machine at the keyword tier. Beside"
    " it the same node without peers, and a bare server with group commit on all sides that sends"
    " each write to each peer by itself.",
    run,
)

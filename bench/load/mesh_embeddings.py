"""How many vectors a mesh computes for the memories that are written to it."""

import asyncio

from bench.load.meshes import Embeddings, Mesh, running_mesh
from bench.load.writers import bodies, write_all
from bench.measurement import (
    Finding,
    Measurement,
    MeasurementError,
    Options,
    Spread,
    at_most,
)

NODES = 3
ROWS_DEFAULT = 150
CHARACTERS = 1_000
CLIENTS = 2
SETTLE_SECONDS_MAX = 180.0


def run(options: Options) -> tuple[Finding, ...]:
    rows = options.rows or ROWS_DEFAULT
    made = [_made(options, number, rows) for number in range(options.repeats)]
    shares = Spread.of(one / rows for one in made)
    return (Finding("embeddings computed / memories written", "x", shares, at_most(1.0)),)


def _made(options: Options, number: int, rows: int) -> int:
    """Vectors computed by all nodes until each of them holds one for every memory."""
    folder = options.scratch / f"round-{number}"
    with running_mesh(folder, NODES, NODES, plain=(), tier="semantic") as mesh:
        urls = [node.url for node in mesh.nodes]
        asyncio.run(write_all(mesh.fleet, urls, CLIENTS, bodies(rows, CHARACTERS, "row")))
        mesh.wait(
            lambda: all(one.held == rows for one in _all(mesh)),
            "some node does not get its vectors",
            SETTLE_SECONDS_MAX,
        )
        mesh.wait_until_equal()
        made = sum(one.made for one in _all(mesh))
    if made < rows:
        raise MeasurementError(f"{made} vectors were made for {rows} different memories")
    return made


def _all(mesh: Mesh) -> list[Embeddings]:
    return [mesh.embeddings(node) for node in mesh.nodes]


MEASUREMENT = Measurement(
    "mesh-embeddings",
    "Memories of 1 kB written at each of three nodes with the local model, until every node holds a"
    " vector of each: what all of them computed together. A mesh in which each node embeds what"
    " comes to it would compute three times as many.",
    run,
)

"""Two nodes on one PostgreSQL server, on one schema and on one each, while things break.

Clients write and read on both. A node is killed, connections are cut inside transactions, the
server crashes and comes back. Whatever was acknowledged is there, every origin's log has no gap,
the digests are right, and nodes that share a schema answer alike.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from tests.faults.fleet import Fleet, Group, server_node
from tools.postgres.cluster import Cluster

CLIENTS = 8
SOAK_SECONDS = 600.0

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def make_fleet(
    postgres_cluster: Cluster, progress: Callable[[str], None], tmp_path: Path
) -> Iterator[MakeFleet]:
    """Fleets on a database of their own: how many nodes on each of its schemas."""
    made: list[Fleet] = []
    databases: list[str] = []

    def make(*node_counts: int, seed: int) -> Fleet:
        database = f"fleet_{len(databases)}_{seed}"
        postgres_cluster.execute(f"CREATE DATABASE {database}")
        databases.append(database)
        url = postgres_cluster.url(database)
        groups, chance = [], Random(seed)
        for place, count in enumerate(node_counts):
            schema = f"store_{place}"
            address = f"{url}&options={quote(f'-csearch_path={schema}')}"
            nodes = [server_node(tmp_path / f"{schema}-{one}", address) for one in range(count)]
            groups.append(Group(url, nodes, schema, chance))
        fleet = Fleet(groups, postgres_cluster, progress, chance)
        made.append(fleet)
        return fleet

    yield make
    for fleet in made:
        fleet.rest()
        for node in fleet.nodes:
            node.close()
    for database in databases:
        postgres_cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")


def break_everything_once(fleet: Fleet, pause_seconds: float) -> None:
    fleet.load()
    fleet.calm(pause_seconds)
    fleet.kill_a_node()
    fleet.calm(pause_seconds)
    fleet.cut_connections(pause_seconds)
    fleet.calm(pause_seconds)
    fleet.restart_server()
    fleet.calm(pause_seconds)
    fleet.check()


def break_everything_for(fleet: Fleet, seconds: float) -> None:
    end_at = time.monotonic() + seconds
    while time.monotonic() < end_at:
        break_everything_once(fleet, pause_seconds=8.0)
    fleet.await_folding()
    fleet.check()


def test_two_nodes_on_one_schema_keep_their_word(make_fleet: MakeFleet):
    fleet = make_fleet(2, seed=1)
    fleet.start(CLIENTS, seed=1)
    break_everything_once(fleet, pause_seconds=1.0)


def test_two_nodes_on_a_schema_each_keep_their_word(make_fleet: MakeFleet):
    fleet = make_fleet(1, 1, seed=2)
    fleet.start(CLIENTS // 2, seed=2)
    break_everything_once(fleet, pause_seconds=1.0)
    fleet.check_separate()


@pytest.mark.soak
def test_two_nodes_on_one_schema_keep_their_word_for_ten_minutes(make_fleet: MakeFleet):
    fleet = make_fleet(2, seed=3)
    fleet.start(CLIENTS, seed=3)
    break_everything_for(fleet, SOAK_SECONDS)


@pytest.mark.soak
def test_two_nodes_on_a_schema_each_keep_their_word_for_ten_minutes(make_fleet: MakeFleet):
    fleet = make_fleet(1, 1, seed=4)
    fleet.start(CLIENTS // 2, seed=4)
    break_everything_for(fleet, SOAK_SECONDS)
    fleet.check_separate()

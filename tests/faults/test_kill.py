"""A node killed at any moment under load loses nothing that it acknowledged.

Real processes, real sockets, SIGKILL. A killed process's writes stay in the kernel's cache, so
this shows nothing about flushing (`test_power_loss.py` and `test_system_calls.py` do); it shows
that every state in which a process can die is one that the next can start from.
"""

from random import Random

import pytest

from tests.faults.conftest import MakeNode
from tests.faults.load import Client, Load, links_shown_by, shown_by
from tests.faults.stores import faults_of
from tests.faults.waiting import wait_for
from tests.integration.node import Node

CLIENTS = 24
LINKS_LOOKED_AT = 5


def kill_under_load(node: Node, clients: list[Client], chance: Random) -> None:
    """Load a running node and kill it when a random number of writes are acknowledged."""
    load = Load(clients)
    enough = load.acknowledged + chance.randrange(1, 300)
    load.start()
    wait_for(lambda: load.acknowledged >= enough, f"{enough} acknowledged writes")
    node.kill()
    load.stop()


def check_after_restart(node: Node, clients: list[Client], chance: Random) -> None:
    for client in clients:
        shown = shown_by(node.url, client.name)
        assert client.settle(shown) == []
        assert client.refused == []
    linked = [client for client in clients if client.links]
    for client in chance.sample(linked, min(LINKS_LOOKED_AT, len(linked))):
        sources = sorted({source for source, _ in client.links})
        assert client.links <= links_shown_by(node.url, sources), "an acknowledged link is gone"
    assert faults_of(node.db) == []


def kill_again_and_again(node: Node, kills: int, seed: int) -> None:
    chance = Random(seed)
    clients = [Client(f"client-{number}", node.port, seed) for number in range(CLIENTS)]
    node.start()
    for _ in range(kills):
        kill_under_load(node, clients, chance)
        node.start()
        check_after_restart(node, clients, chance)
    assert node.stop() == 0
    assert faults_of(node.db) == []
    assert Load(clients).acknowledged > kills


def test_ten_kills_under_load_lose_nothing_acknowledged(make_node: MakeNode):
    kill_again_and_again(make_node(), kills=10, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_kills_under_load_lose_nothing_acknowledged(make_node: MakeNode, seed: int):
    kill_again_and_again(make_node(), kills=20, seed=100 + seed)

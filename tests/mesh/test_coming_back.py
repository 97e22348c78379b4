"""Nodes that were away, were set back, or are asked to stop at work lose nothing acknowledged."""

import shutil
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.store.sqlite.identity import sidecar_path
from tests.faults.waiting import wait_for
from tests.mesh.fleets import connected
from tests.mesh.seeing import (
    MEMORIES,
    client_of,
    is_connected,
    status_of,
    wait_until_equal,
)
from tests.mesh.writers import read_all
from tools.fleet.fleet import Fleet, FleetNode, FleetOptions

MISSED_ROWS = 3_000
BULK_ROWS = 500
CATCH_UP_SECONDS_MAX = 30.0
CLIENTS = 6


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes; writes do not wait for copies."""
    options = FleetOptions(nodes=3, quorum_writes=1)
    with connected(tmp_path_factory.mktemp("fleet"), options) as made:
        yield made


def stored(client: httpx.Client, title: str) -> str:
    reply = client.post(MEMORIES, json={"title": title, "content": f"about {title}"})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def missing(fleet: Fleet, node: FleetNode, ids: list[str]) -> list[str]:
    with client_of(fleet, node) as client:
        return [one for one in ids if client.get(f"{MEMORIES}/{one}").status_code != 200]


def test_a_node_that_was_away_gets_everything_it_missed(fleet: Fleet):
    """W1, W18: rows of one timestamp were skipped, and 500 came in 30 seconds."""
    away = fleet["node-c"]
    with client_of(fleet, away) as client:
        deleted = stored(client, "deleted while its node is away")
    wait_until_equal(fleet)
    away.stop()
    with client_of(fleet, fleet["node-a"]) as client:
        assert client.delete(f"{MEMORIES}/{deleted}").is_success
        for start in range(0, MISSED_ROWS, BULK_ROWS):
            rows = [
                {"title": f"missed {start + no}", "content": "text", "namespace": "missed"}
                for no in range(BULK_ROWS)
            ]
            assert len(client.post(f"{MEMORIES}/bulk", json=rows).json()["ids"]) == BULK_ROWS
    fleet.start(away.name)
    wait_until_equal(fleet, CATCH_UP_SECONDS_MAX)
    with client_of(fleet, away) as client:
        found = client.get("/api/v1/stats").json()
        assert client.get(f"{MEMORIES}/{deleted}").status_code == 404
    with client_of(fleet, fleet["node-a"]) as client:
        assert client.get("/api/v1/stats").json()["total"] == found["total"] >= MISSED_ROWS


@pytest.mark.parametrize("keeps_sidecar", [True, False])
def test_a_node_set_back_to_a_backup_loses_nothing_and_gives_no_number_twice(
    fleet: Fleet, tmp_path: Path, keeps_sidecar: bool
):
    node = fleet["node-b"]
    with client_of(fleet, node) as client:
        before = [stored(client, f"before {keeps_sidecar} {no}") for no in range(20)]
    node.stop()
    backup = tmp_path / "backup"
    backup.mkdir()
    for file in node.folder.glob("store.db*"):
        if file.is_file():
            shutil.copy2(file, backup / file.name)
    fleet.start(node.name)
    wait_for(partial(is_connected, fleet), "a mesh")
    with client_of(fleet, node) as client:
        after = [stored(client, f"after {keeps_sidecar} {no}") for no in range(20)]
    wait_until_equal(fleet)
    used = status_of(fleet, node)["origin"]

    node.kill()
    kept = {sidecar_path(node.db).name} if keeps_sidecar else set()
    for file in node.folder.glob("store.db*"):
        if file.is_file() and file.name not in kept:
            file.unlink()
    for file in backup.iterdir():
        if file.name not in kept:
            shutil.copy2(file, node.folder / file.name)
    fleet.start(node.name)
    with client_of(fleet, node) as client:
        alone = [stored(client, f"alone {keeps_sidecar} {no}") for no in range(20)]
    wait_until_equal(fleet)
    assert status_of(fleet, node)["origin"] != used
    for one in fleet:
        assert missing(fleet, one, before + after + alone) == []
        assert status_of(fleet, one)["quarantined"] == 0


def test_a_node_that_is_asked_to_stop_hands_over_what_it_acknowledged(fleet: Fleet):
    """W29: detached tasks were lost at shutdown."""
    node = fleet["node-a"]
    acknowledged: list[str] = []

    def write(number: int) -> None:
        with client_of(fleet, node) as client:
            for no in range(10_000):
                try:
                    title = f"last words {number} {no}"
                    body = {"title": title, "content": "text", "namespace": "last"}
                    reply = client.post(MEMORIES, json=body)
                except httpx.TransportError:
                    return
                if reply.status_code != 201:
                    return
                acknowledged.append(reply.json()["id"])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(CLIENTS)]
    for one in writers:
        one.start()
    wait_for(lambda: len(acknowledged) > 100, "work")
    node.signal(signal.SIGTERM)
    for one in writers:
        one.join()
    assert node.stop() == 0
    for other in ("node-b", "node-c"):
        with client_of(fleet, fleet[other]) as client:
            assert set(acknowledged) - read_all(client, "last").keys() == set()
    fleet.start(node.name)
    wait_until_equal(fleet)

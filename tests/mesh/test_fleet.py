"""Five real nodes, writers on all of them, and everything that goes wrong between and under them.

After each life: what was acknowledged is on every node, what was deleted is on none, names are
unique, links are as told, and all nodes are equal by clocks, digests and counts.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.faults.mounts import small_disk
from tests.faults.waiting import wait_for
from tests.mesh.links import Links
from tests.mesh.seeing import (
    allow_admins,
    client_of,
    is_connected,
    status_of,
    wait_until_equal,
)
from tests.mesh.writers import CONTESTED, Writer, disagreements, read_all, wrong_links
from tools.fleet.fleet import Fleet, FleetOptions

NODES = 5
WRITERS_PER_NODE = 2
FAULT_SECONDS = 2.5
DISK_BYTES = 64 * 1024 * 1024
SKEWS = {"node-b": "-20", "node-d": "20"}
"""Less than what nodes put up with in one another's clocks."""
SKEWED = Path(__file__).with_name("serve_skewed.py")


class Life:
    """A fleet under load, and the faults that can be made in it."""

    def __init__(self, fleet: Fleet, links: Links, seed: int) -> None:
        self.fleet = fleet
        self.links = links
        self.chance = Random(seed)
        self._stop = threading.Event()
        self.writers = [
            Writer(f"writer-{node.name[-1]}{no}", node.name, client_of(fleet, node), seed)
            for node in fleet
            for no in range(WRITERS_PER_NODE)
        ]
        self._threads = [
            threading.Thread(target=one.write_until, args=(self._stop,)) for one in self.writers
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let the writers finish what they asked."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def pause(self, seconds: float = FAULT_SECONDS) -> None:
        threading.Event().wait(seconds)

    def any_two(self) -> tuple[str, str]:
        one, other = self.chance.sample(sorted(self.fleet.nodes), 2)
        return one, other

    # -- faults ----------------------------------------------------------------------------

    def killed(self) -> None:
        for name in self.any_two():
            self.fleet[name].kill()
            self.pause(0.5)
            self.fleet.start(name)

    def stopped(self) -> None:
        name = self.any_two()[0]
        self.fleet[name].signal(signal.SIGSTOP)
        self.pause()
        self.fleet[name].signal(signal.SIGCONT)

    def one_way(self) -> None:
        name = self.any_two()[0]
        self.links.cut([(name, other) for other in self.fleet.nodes if other != name])
        self.pause()
        self.links.heal()

    def silent(self) -> None:
        name = self.any_two()[0]
        self.links.silence([(other, name) for other in self.fleet.nodes if other != name])
        self.pause()
        self.links.heal()

    def parted(self) -> None:
        self.links.part(self.any_two())
        self.pause()
        self.links.heal()

    def lossy(self) -> None:
        self.links.trouble(lost=0.3, delay_seconds=0.02)
        self.pause()
        self.links.heal()

    def full(self) -> None:
        ballast = self.fleet["node-e"].folder / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        self.pause()
        ballast.unlink()


FAULTS: tuple[Callable[[Life], None], ...] = (
    *(Life.killed, Life.stopped, Life.one_way, Life.silent, Life.parted, Life.lossy, Life.full),
)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Three copies of five; two clocks are wrong, one disk is small."""
    with small_disk(tmp_path / "fleet" / "node-e", DISK_BYTES):
        options = FleetOptions(nodes=NODES, quorum_writes=3)
        made = Fleet(tmp_path / "fleet", options)
        allow_admins(made)
        for name, skew in SKEWS.items():
            command = made[name].command
            assert command[1:3] == ["-m", "app"]
            command[1:3] = [str(SKEWED), skew]
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def links(fleet: Fleet) -> Iterator[Links]:
    """The ways between its nodes, before they start."""
    made = Links(fleet, seed=1)
    yield made
    made.close()


def lives(fleet: Fleet, links: Links, seed: int, rounds: int) -> list[Writer]:
    """Break things under load, one after another, then mend everything and wait."""
    fleet.start()
    wait_for(partial(is_connected, fleet), "a mesh")
    life = Life(fleet, links, seed)
    try:
        life.pause(1.0)
        for _ in range(rounds):
            for fault in life.chance.sample(FAULTS, len(FAULTS)):
                fault(life)
        life.pause(1.0)
    finally:
        life.end()
    wait_until_equal(fleet)
    return life.writers


def check(fleet: Fleet, writers: list[Writer]) -> None:
    """Everything that must hold of a history, on every node."""
    assert [wrong for one in writers for wrong in one.wrong] == []
    counts = {}
    for node in fleet:
        found: list[str] = []
        with client_of(fleet, node) as client:

            def links_of(memory_id: str, client=client) -> list[dict[str, str]]:
                return client.get(f"/api/v1/links/{memory_id}").json()["links"]  # type: ignore[no-any-return]  # JSON

            for writer in writers:
                shown = read_all(client, writer.name)
                found += disagreements(writer, shown, node.name)
                found += wrong_links(writer, links_of, shown, node.name)
            titles = [one["title"] for one in read_all(client, CONTESTED).values()]
            counts[node.name] = client.get("/api/v1/stats").json()["total"]
        assert found == []
        assert len(titles) == len(set(titles))
        assert status_of(fleet, node)["quarantined"] == 0
    assert len(set(counts.values())) == 1, counts


def test_a_fleet_keeps_its_promises_whatever_happens(fleet: Fleet, links: Links):
    writers = lives(fleet, links, seed=20, rounds=1)
    check(fleet, writers)
    total: dict[str, int] = {}
    for writer in writers:
        for kind, count in writer.counts.items():
            total[kind] = total.get(kind, 0) + count
    assert total["unanswered"] > 0
    assert total["missed"] > 0, "no fault kept copies away"
    assert sum(len(one.rows) for one in writers) > 300


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_many_rounds(fleet: Fleet, links: Links, seed: int):
    check(fleet, lives(fleet, links, seed, rounds=6))

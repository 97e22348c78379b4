"""Meshes under load: clients write to an entry node without TLS, peers speak mutual TLS."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from bench.measurement import MeasurementError
from bench.process import processor_seconds
from tools.fleet.fleet import Fleet, FleetError, FleetNode, FleetOptions

ENTRY = "node-a"
STATUS = "/api/v1/federation/status"
EQUAL_SECONDS_MAX = 120.0
POLL_SECONDS = 0.05


class PeerSeen(msgspec.Struct):
    """A peer in a node's status, as far as measurements read it."""

    state: str
    pushed_batches: int
    pushed_entries: int


class Seen(msgspec.Struct):
    """A node's status, as far as measurements read it."""

    digest: str
    clock: dict[str, int] = {}
    peers: list[PeerSeen] = []
    received_entries: int = 0
    received_known: int = 0
    pulled_entries: int = 0
    repaired_states: int = 0


@dataclass(frozen=True)
class Pushed:
    """What the entry node has sent to all of its peers so far."""

    batches: int
    entries: int


class Mesh:
    """A running fleet, looked at from outside."""

    def __init__(self, fleet: Fleet, client: httpx.Client) -> None:
        self.fleet = fleet
        self._client = client

    @property
    def entry(self) -> FleetNode:
        return self.fleet[ENTRY]

    @property
    def nodes(self) -> Sequence[FleetNode]:
        return list(self.fleet)

    def start(self, *names: str) -> None:
        """Start nodes, all of them if none is named, and wait until each answers."""
        try:
            self.fleet.start(*names)
        except FleetError as error:
            raise MeasurementError(str(error)) from error

    def seen(self, node: FleetNode) -> Seen:
        """The node's own account."""
        reply = self._client.get(node.url + STATUS)
        if not reply.is_success:
            raise MeasurementError(f"{node.name}: {reply.status_code} {reply.text[:200]}")
        return msgspec.json.decode(reply.content, type=Seen)

    def pushed(self) -> Pushed:
        peers = self.seen(self.entry).peers
        return Pushed(
            sum(one.pushed_batches for one in peers), sum(one.pushed_entries for one in peers)
        )

    def duplicates(self) -> int:
        """Entries that came to some node although they were there."""
        return sum(self.seen(node).received_known for node in self.nodes)

    def processor_seconds(self) -> Mapping[str, float]:
        """What each node has computed so far, by name."""
        found = {}
        for node in self.nodes:
            assert node.process is not None
            found[node.name] = processor_seconds(node.process.pid)
        return found

    def wait_until_connected(self) -> None:
        """Return when every node has reached every other one."""
        self._wait(
            lambda: all(one.state == "up" for node in self.nodes for one in self.seen(node).peers),
            "the nodes did not find one another",
        )

    def wait_until_equal(self, seconds: float = EQUAL_SECONDS_MAX) -> None:
        """Return when all nodes hold the same entries and states."""
        self._wait(self._are_equal, "the nodes did not become equal", seconds)

    def _are_equal(self) -> bool:
        found = [self.seen(node) for node in self.nodes]
        return all((one.clock, one.digest) == (found[0].clock, found[0].digest) for one in found)

    def _wait(
        self, condition: Callable[[], bool], meaning: str, seconds: float = EQUAL_SECONDS_MAX
    ) -> None:
        give_up_at = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up_at:
                raise MeasurementError(meaning)
            time.sleep(POLL_SECONDS)


@contextmanager
def made_mesh(
    folder: Path, nodes: int, writes: int, plain: Sequence[str] = (ENTRY,)
) -> Iterator[Mesh]:
    """A mesh that does not run yet; its processes end with the block.

    `plain` names the nodes that are called without TLS.
    """
    fleet = Fleet(folder, FleetOptions(nodes=nodes, quorum_writes=writes, plain=plain))
    try:
        with httpx.Client(verify=fleet.client_context(), timeout=30, trust_env=False) as client:
            yield Mesh(fleet, client)
    finally:
        fleet.close()


@contextmanager
def running_mesh(
    folder: Path, nodes: int, writes: int, plain: Sequence[str] = (ENTRY,)
) -> Iterator[Mesh]:
    """A mesh whose nodes have found one another."""
    with made_mesh(folder, nodes, writes, plain) as mesh:
        mesh.start()
        mesh.wait_until_connected()
        yield mesh

"""A peer gets and gives what its scope lets through; the chain stays whole (weakness W39)."""

from dataclasses import dataclass, field

from app.domain.memory import MemoryLink
from app.log import drafts
from tests.contract.store.conftest import START, Change, Say, delete
from tests.unit.replication.cluster import Cluster, settle
from tests.unit.replication.virtual_time import virtual


@dataclass
class Granted:
    """Namespaces by node id; nodes that are not named may do everything."""

    read: dict[str, set[str]] = field(default_factory=dict)
    write: dict[str, set[str]] = field(default_factory=dict)

    def is_limited(self, node_id: str) -> bool:
        return node_id in self.read or node_id in self.write

    def may_read(self, node_id: str, namespace: str) -> bool:
        return node_id not in self.read or namespace in self.read[node_id]

    def may_write(self, node_id: str, namespace: str) -> bool:
        return node_id not in self.write or namespace in self.write[node_id]


async def trio(cluster: Cluster, **options: object):
    """Nodes a, b and c; a's grants, to be filled."""
    a, b, c = await cluster.full("abc", **options)
    granted = Granted()
    for node in (a, b, c):
        await node.stop()
    a.scopes = granted
    for node in (a, b, c):
        await node.start()
    await settle()
    return a, b, c, granted


def secrets_of(path) -> bool:
    """Whether a file, or what lies beside it, holds the secret word."""
    return any(b"xyzzy" in one.read_bytes() for one in path.parent.iterdir() if one.is_file())


@virtual
async def test_w39_what_a_peer_may_not_read_never_reaches_it(cluster: Cluster):
    a, b, c, granted = await trio(cluster, writes=2)
    cluster.network.part(["b"], ["c"])
    granted.read[b.node_id] = {"public"}
    await a.write(a.row(namespace="public"))
    await a.write(a.row(namespace="private", content="xyzzy"))
    await a.submit(Change("a-2", {"content": "xyzzy again"}))
    await a.write(a.row(namespace="public"))
    await a.submit(Change("a-3", {"namespace": "private", "content": "xyzzy once more"}))
    await settle(2)
    assert (await b.clocks()) == (await a.clocks())  # the chain is whole
    assert await b.shown("a-1") is not None
    assert await b.shown("a-2") is None
    assert not secrets_of(b.path)
    assert secrets_of(c.path)


@virtual
async def test_w39_pulled_pages_are_held_to_the_same_scope(cluster: Cluster):
    a = cluster.add("a", ["b"])
    b = cluster.add("b", ["a", "c"])
    c = cluster.add("c", ["b"])
    granted = Granted()
    b.scopes = granted
    for node in (a, b, c):
        await node.start()
    granted.read[c.node_id or ""] = {"public"}
    await a.write(a.row(namespace="private", content="xyzzy"))
    await a.write(a.row(namespace="public"))
    await settle(4)
    assert (await c.clocks()) == (await a.clocks())
    assert await c.shown("a-2") is not None
    assert not secrets_of(c.path)


@virtual
async def test_a_hole_is_no_copy(cluster: Cluster):
    a, b, c, granted = await trio(cluster, writes=2)
    granted.read[b.node_id] = {"public"}
    receipt = await a.write(a.row(namespace="private"))
    met = await a.running.wait(receipt.origin, receipt.seqs, 2)
    missed = await a.running.wait(receipt.origin, receipt.seqs, 3)
    assert met.is_met  # on a and c
    assert (missed.got, missed.reason) == (2, "refused")
    assert (await a.copies(3, a.row(namespace="public"))).is_met
    assert c.mesh is not None


@virtual
async def test_what_a_peer_may_not_write_is_put_aside_here(cluster: Cluster):
    a, b, _, granted = await trio(cluster, writes=2)
    await a.write(a.row(namespace="private"))
    await cluster.converge()
    granted.write[b.node_id] = {"public"}
    assert (await b.copies(3, b.row(namespace="public"))).is_met
    outcome = await b.copies(3, b.row(namespace="private"))
    assert (outcome.got, outcome.reason) == (2, "refused")
    for change in (
        Change("a-1", {"content": "taken over"}),
        Change("b-1", {"namespace": "private"}),
        delete("a-1"),
        Say(lambda _: drafts.link([link("b-1", "a-1")], "bob")),
        Say(lambda _: drafts.standard_clear("private", "a-1", "bob")),
    ):
        await b.submit(change)
    await settle(2)
    assert (await a.clocks()) == (await b.clocks())
    found = await a.shown("a-1")
    assert found is not None
    assert found.content == "content of a-1"
    assert (await a.shown("b-1")).namespace == "public"
    assert (await a.running.status()).quarantine_codes == {"out_of_scope": 6}


def link(source: str, target: str) -> MemoryLink:
    return MemoryLink(source, target, "related_to", START.isoformat())


@virtual
async def test_an_author_out_of_scope_gains_nothing_by_a_relay(cluster: Cluster):
    a = cluster.add("a", ["b"])
    b = cluster.add("b", ["a", "c"])
    c = cluster.add("c", ["b"])
    granted = Granted()
    c.scopes = granted
    for node in (a, b, c):
        await node.start()
    granted.write[a.node_id or ""] = {"public"}
    await a.write(a.row(namespace="private"))
    await a.write(a.row(namespace="public"))
    await settle(4)
    assert await c.shown("a-1") is None
    assert await c.shown("a-2") is not None

"""The mesh's rulers, each once in small: what they count is there."""

import asyncio
from contextlib import closing
from itertools import pairwise

import apsw
import httpx
import msgspec

from bench.load import mesh_catchup
from bench.load.meshes import running_mesh
from bench.load.servers import running_one_post
from bench.load.writers import bodies, write_all
from bench.measurement import Options

ROWS = 30
ROWS_BEHIND = 3_000  # so many that some are still to come when the late node first answers


def count_of(db):
    with closing(apsw.Connection(str(db), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        ((found,),) = connection.execute("SELECT count(*) FROM memories")
        return found


def test_one_post_a_write_and_peer_leaves_each_write_on_every_node(tmp_path):
    with running_one_post(tmp_path, peer_count=2, writes=3) as url:
        for body in bodies(ROWS, 100, "row"):
            reply = httpx.post(f"{url}/api/v1/memories", content=body, trust_env=False)
            assert reply.status_code == 201

    found = [count_of(tmp_path / f"{name}.db") for name in ("entry", "peer-0", "peer-1")]
    assert found == [ROWS] * 3


def test_a_mesh_under_load_tells_what_it_sent_and_computed(tmp_path):
    with running_mesh(tmp_path, nodes=2, writes=2) as mesh:
        computed = mesh.processor_seconds()
        written = asyncio.run(
            write_all(mesh.fleet, [mesh.entry.url], 4, bodies(ROWS, 1_000, "row"))
        )
        mesh.wait_until_equal()

        assert mesh.entry.url.startswith("http://")
        assert sum(len(one.waits_ms) for one in written) == ROWS
        assert mesh.pushed().entries == ROWS
        assert 1 <= mesh.pushed().batches <= ROWS
        assert mesh.duplicates() == 0
        assert [mesh.embeddings(node).made for node in mesh.nodes] == [0, 0]  # at this tier
        spent = mesh.processor_seconds()
        assert all(spent[name] > before for name, before in computed.items())


def test_a_node_that_lacks_everything_catches_up_in_the_measurement(tmp_path):
    findings = mesh_catchup.run(Options(tmp_path, rows=ROWS_BEHIND, repeats=1))

    rates = {one.subject: one.spread.median for one in findings if one.unit == "1/s"}
    assert rates
    assert all(rate > 0 for rate in rates.values())


def test_the_clients_memories_are_of_the_asked_size_and_all_different():
    made = [msgspec.json.decode(one) for one in bodies(ROWS, 120, "row")]

    assert {len(one["content"]) for one in made} == {120}
    assert all(one["title"] != other["title"] for one, other in pairwise(made))
    assert len({one["content"] for one in made}) == ROWS

"""Models of 768 dimensions: a store made for them, and one that changes over to them."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import httpx
import pytest
from typing_extensions import override

from tests.faults.waiting import wait_for
from tests.postgres.served import ServerNode

CONTENT_BYTES_MAX = 65_536


def meaning(text: str, dim: int) -> list[float]:
    """Texts with common words are near each other."""
    values = [0.0] * dim
    for word in text.lower().split():
        digest = hashlib.sha256(word.encode()).digest()
        values[int.from_bytes(digest[:4]) % dim] += 1.0
    return values


@pytest.fixture
def vendor() -> Iterator[str]:
    """The address of a server that embeds as Ollama does; a model's name ends in its dimension."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            dim = int(asked["model"].rpartition("-")[2])
            body = json.dumps({"embeddings": [meaning(asked["input"], dim)]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


MakeNode = Callable[[int], ServerNode]


@pytest.fixture
def node(tmp_path: Path, empty_database: str, vendor: str) -> Iterator[MakeNode]:
    """Make nodes on one store, with a model of the given dimension; not started yet."""
    made: list[ServerNode] = []

    def make(dim: int) -> ServerNode:
        one = ServerNode.on(tmp_path / f"node-{len(made)}", empty_database, "semantic")
        one.config += (
            f'\n[embeddings]\nbackend = "ollama"\nbase_url = "{vendor}"\nmodel = "fake-{dim}"\n'
            f"dim = {dim}\n"
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


def fill(node: ServerNode, ask, url: str, dim: int) -> None:
    """Store memories, the longest there may be among them, and wait for their vectors."""
    some = Random(1)
    huge = " ".join(f"{some.randrange(10**9):x}" for _ in range(CONTENT_BYTES_MAX))
    rows = [
        {"title": f"Row {number}", "content": f"common text about subject{number}"}
        for number in range(20)
    ]
    rows.append({"title": "Huge", "content": huge[:CONTENT_BYTES_MAX]})
    with httpx.Client(base_url=f"{node.url}/api/v1", timeout=60) as api:
        for row in rows:
            assert api.post("/memories", json=row).status_code == 201
    await_vectors(ask, url, dim, len(rows))


def await_vectors(ask, url: str, dim: int, count: int) -> None:
    counted = "SELECT count(*) FROM memories WHERE vector_dims(embedding) = embedding_dim"
    counted += " AND embedding_dim = %s"
    wait_for(lambda: ask(url, counted, [dim]) == [(count,)], f"{count} vectors of {dim}")


def recalled(node: ServerNode, question: str) -> tuple[str, str]:
    """How it was searched, and the title of the first."""
    reply = httpx.get(f"{node.url}/api/v1/recall", params={"context": question}, timeout=60)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    return found["mode"], found["memories"][0]["title"]


def test_a_store_made_for_768_is_written_and_searched(
    node: MakeNode, empty_database: str, ask
) -> None:
    served = node(768)
    made = served.run(
        *("schema-init", "--store-url", empty_database, "--embedding-dim", "768", "--json")
    )
    assert json.loads(made.stdout)["embedding_dim"] == 768
    served.start()
    fill(served, ask, empty_database, 768)
    assert recalled(served, "what about subject7") == ("hybrid", "Row 7")
    # Vectors stand in the row itself: no search fetches them from aside.
    stored = ask(
        empty_database,
        "SELECT attstorage FROM pg_attribute WHERE attname = 'embedding'"
        " AND attrelid IN ('memories'::regclass, 'archived_memories'::regclass)",
    )
    assert stored == [("p",), ("p",)]
    renewed = served.run("reembed", "--json")
    assert renewed.returncode == 0, renewed.stderr
    report = json.loads(renewed.stdout)
    assert (report["reembedded"], report["dim"]) == (21, 768)
    assert recalled(served, "what about subject3") == ("hybrid", "Row 3")


def test_a_new_store_takes_the_dimension_of_its_first_model(
    node: MakeNode, empty_database: str, ask
) -> None:
    served = node(768)
    served.start()
    fill(served, ask, empty_database, 768)
    assert recalled(served, "subject11") == ("hybrid", "Row 11")


def test_a_store_of_384_changes_over_only_when_told_to(
    node: MakeNode, empty_database: str, ask
) -> None:
    old, new = node(384), node(768)
    old.start()
    fill(old, ask, empty_database, 384)
    old.stop()

    for refused in (new.run("serve", "--port", "0"), new.run("reembed")):
        assert refused.returncode == 69
        assert "holds vectors of 384 dimensions, and 768 are asked for" in refused.stderr
        assert "schema-init --embedding-dim 768 --force-reembed" in refused.stderr
    given_up = new.run(
        *("schema-init", "--store-url", empty_database),
        *("--embedding-dim", "768", "--force-reembed"),
    )
    assert given_up.returncode == 0, given_up.stderr

    new.start()
    await_vectors(ask, empty_database, 768, 21)
    assert recalled(new, "what about subject5") == ("hybrid", "Row 5")
    models = ask(empty_database, "SELECT DISTINCT dim FROM memory_vectors")
    assert models == [(768,)]


def test_a_model_of_another_dimension_is_refused(node: MakeNode) -> None:
    refused = node(1024).run("serve", "--port", "0")
    assert refused.returncode != 0
    assert "holds vectors of 384 or 768 dimensions, not of 1024" in refused.stderr

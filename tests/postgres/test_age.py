"""Apache AGE is used where the role may, and where it may not, the reason is told once."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from app.store.postgres.age import look_for_age
from tests.faults.waiting import wait_for
from tests.fixtures.v57 import write_v57
from tests.fixtures.v57_postgres import write_v57_schema
from tests.postgres.served import ServerNode
from tools.postgres.release import USUAL, wanted

TAIL = "&options=-csearch_path%3D"
NO_FILES = "SET extension_control_path = '/nowhere'"


@dataclass
class Guest:
    """A role that may make tables in a schema of its own, and nothing else."""

    role: str
    database: str
    owner_url: str
    url: str


@pytest.fixture
def guest(postgres_server, postgres_databases, ask) -> Iterator[Guest]:
    role = f"ai_memory_test_guest_{os.getpid()}"
    name = postgres_databases.create()
    owner = postgres_server.url(name)
    ask(owner, "CREATE EXTENSION vector")
    postgres_server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'guest'")
    ask(owner, f"CREATE SCHEMA mine AUTHORIZATION {role}")
    url = postgres_server.url(name, user=role, password="guest")
    yield Guest(role, name, f"{owner}{TAIL}mine", f"{url}{TAIL}mine")
    postgres_databases.drop_all()
    postgres_server.execute(f"DROP ROLE {role}")


Start = Callable[[str], ServerNode]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[ServerNode] = []

    def serve(url: str) -> ServerNode:
        made.append(ServerNode.on(tmp_path / f"node-{len(made)}", url))
        made[-1].start()
        return made[-1]

    yield serve
    for one in made:
        one.close()


def capabilities(node: ServerNode) -> dict[str, object]:
    document = httpx.get(f"{node.url}/api/v1/capabilities", timeout=30).json()
    return {name: one for name, one in document.items() if name.startswith("kg_backend")}


def store_pair(node: ServerNode, name: str) -> tuple[str, str]:
    """Two memories, the first linked to the second."""
    with httpx.Client(base_url=f"{node.url}/api/v1", timeout=60) as api:
        ids = [
            api.post("/memories", json={"title": f"{name} {one}", "content": one}).json()["id"]
            for one in ("from", "to")
        ]
        body = {"source_id": ids[0], "target_id": ids[1], "relation": "related_to"}
        assert api.post("/links", json=body).status_code == 201
    return ids[0], ids[1]


def path_found_by(node: ServerNode, ends: tuple[str, str]) -> str:
    body = {"source_id": ends[0], "target_id": ends[1], "max_depth": 2}
    reply = httpx.post(f"{node.url}/api/v1/kg/find_paths", json=body, timeout=60).json()
    assert len(reply["paths"]) == 1
    return str(reply["backend"])


def test_a_node_makes_the_extension_itself(start: Start, empty_database: str, ask):
    node = start(empty_database)
    assert ask(empty_database, "SELECT 1 FROM pg_extension WHERE extname = 'age'") == [(1,)]
    ends = store_pair(node, "pair")
    wait_for(lambda: path_found_by(node, ends) == "age", "the graph")
    assert capabilities(node) == {"kg_backend": "age"}


def test_schema_init_makes_the_extension_and_the_graph_once(
    tmp_path: Path, empty_database: str, ask
):
    node = ServerNode.on(tmp_path / "node", empty_database)
    created = []
    for _ in range(2):
        done = node.run("schema-init", "--store-url", empty_database, "--json")
        assert done.returncode == 0, done.stderr
        created.append(json.loads(done.stdout)["age_projection_created"])
    assert created == [True, False]
    assert ask(empty_database, "SELECT name FROM ag_catalog.ag_graph") == [("memory_graph",)]


@pytest.mark.skipif(
    wanted(os.environ) is not USUAL, reason="an older server finds its extensions in one place only"
)
def test_a_server_without_age_is_served_by_the_tables(start: Start, empty_database: str, ask):
    ask(empty_database, "CREATE EXTENSION vector")
    name = empty_database.rpartition("/")[2].partition("?")[0]
    ask(empty_database, f"ALTER DATABASE {name} {NO_FILES}")
    node = start(empty_database)
    assert path_found_by(node, store_pair(node, "pair")) == "cte"
    assert capabilities(node) == {
        "kg_backend": "cte",
        "kg_backend_reason": "the server has no Apache AGE",
    }
    diagnosed = node.run("doctor")
    assert "the server has no Apache AGE" in diagnosed.stdout


def test_a_role_that_may_not_make_the_extension_is_told_so_once(start: Start, guest: Guest, ask):
    node = start(guest.url)
    assert path_found_by(node, store_pair(node, "pair")) == "cte"
    found = capabilities(node)
    assert found["kg_backend"] == "cte"
    assert "CREATE EXTENSION age" in str(found["kg_backend_reason"])
    assert node.log.count("CREATE EXTENSION age") == 1
    assert ask(guest.owner_url, "SELECT 1 FROM pg_extension WHERE extname = 'age'") == []


def test_a_role_that_finds_the_extension_needs_its_schema_and_a_place_for_the_graph(
    start: Start, guest: Guest, ask
):
    ask(guest.owner_url, "CREATE EXTENSION age")
    with closing(psycopg.connect(guest.url, autocommit=True)) as connection:
        state = look_for_age(connection)
        assert state.backend == "cte"
        assert f"GRANT USAGE ON SCHEMA ag_catalog TO {guest.role}" in str(state.reason)
        ask(guest.owner_url, f"GRANT USAGE ON SCHEMA ag_catalog TO {guest.role}")
        assert look_for_age(connection).backend == "age"

    node = start(guest.url)
    ends = store_pair(node, "pair")
    wait_for(lambda: "GRANT CREATE ON DATABASE" in node.log, "the reason")
    found = capabilities(node)
    assert found["kg_backend"] == "cte"
    assert f"GRANT CREATE ON DATABASE {guest.database}" in str(found["kg_backend_reason"])
    assert path_found_by(node, ends) == "cte"
    node.stop()
    assert node.log.count("GRANT CREATE ON DATABASE") == 1

    ask(guest.owner_url, f"GRANT CREATE ON DATABASE {guest.database} TO {guest.role}")
    node = start(guest.url)
    wait_for(lambda: path_found_by(node, ends) == "age", "the graph")
    assert capabilities(node) == {"kg_backend": "age"}


def test_a_role_may_be_lent_a_graph(start: Start, guest: Guest, tmp_path: Path, ask):
    ask(guest.owner_url, "CREATE EXTENSION age")
    first = start(guest.url)  # the tables are the guest's
    ends = store_pair(first, "first")
    first.stop()
    owner = ServerNode.on(tmp_path / "owner", guest.owner_url)
    made = owner.run("schema-init", "--store-url", guest.owner_url, "--json")
    assert json.loads(made.stdout)["age_projection_created"]
    for what in (
        *("USAGE ON SCHEMA ag_catalog", "USAGE ON SCHEMA memory_graph_mine"),
        *(f"ALL ON ALL {kind} IN SCHEMA memory_graph_mine" for kind in ("TABLES", "SEQUENCES")),
    ):
        ask(guest.owner_url, f"GRANT {what} TO {guest.role}")

    node = start(guest.url)
    wait_for(lambda: path_found_by(node, ends) == "age", "the graph")
    more = store_pair(node, "more")
    wait_for(lambda: path_found_by(node, more) == "age", "the graph to follow")
    owned = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'memory_graph_mine'"
    assert ask(guest.owner_url, owned) != [(guest.role,)]


def test_the_graph_of_v070_is_made_anew_from_what_was_adopted(
    start: Start, empty_database: str, tmp_path: Path, ask
):
    file = tmp_path / "old.db"
    contents = write_v57(file)
    write_v57_schema(empty_database, file)
    ask(empty_database, "CREATE EXTENSION age")
    at_age = f"{empty_database}{TAIL}ag_catalog,public%20-csession_preload_libraries%3Dage"
    ask(at_age, "SELECT create_graph('memory_graph')")
    ask(
        at_age,
        "SELECT * FROM cypher('memory_graph', $$ MERGE (a:Memory {id: 'stale'})"
        " MERGE (b:Memory {id: 'too'}) MERGE (a)-[:related_to {relation: 'related_to'}]->(b) $$)"
        " AS (found agtype)",
    )
    node = start(empty_database)
    ends = contents.live[0], contents.live[10]
    headers = {"X-Agent-Id": "agent-0"}
    body = {"source_id": ends[0], "target_id": ends[1], "max_depth": 1}

    def backend() -> object:
        url = f"{node.url}/api/v1/kg/find_paths"
        return httpx.post(url, json=body, headers=headers, timeout=60).json()["backend"]

    wait_for(lambda: backend() == "age", "the graph")
    stale = (
        'SELECT count(*) FROM memory_graph."Memory"'
        " WHERE ag_catalog.agtype_out(properties)::text LIKE '%stale%'"
    )
    assert ask(empty_database, stale) == [(0,)]

"""A v0.7.0 schema is taken over: nothing is lost, and it agrees with a file of the same rows."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from app.domain.errors import StoreOpenError, StoreUnavailableError
from app.store.postgres import adoption, schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.adoption import Adoption, kept_schema
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.protocol import Store
from app.store.registry import StoreOptions, open_store
from app.store.schema import SchemaKind
from app.store.sqlite.adapter import Sources
from tests.contract.store.conftest import RealDisk, SeededRandomness, TurnedClock
from tests.faults.waiting import wait_for
from tests.fixtures.v57 import V57Contents, write_v57
from tests.fixtures.v57_postgres import write_v57_schema
from tests.postgres.served import ServerNode

TAIL = "&options=-csearch_path%3D"
STATES = (
    "SELECT id, state, row_hash, collected FROM memory_state ORDER BY id",
    "SELECT kind, key, state, row_hash FROM record_state ORDER BY kind, key",
    "SELECT namespace, title, memory_id, stamp FROM name_claims ORDER BY memory_id",
    "SELECT text_hash, memory_id FROM text_duplicates ORDER BY memory_id",
)
LARGE_ROWS = 3_000


@dataclass
class Old:
    """A v0.7.0 schema, and a v0.7.0 file with the same rows."""

    url: str
    file: Path
    contents: V57Contents


@pytest.fixture
def old(tmp_path: Path, empty_database: str) -> Old:
    file = tmp_path / "old.db"
    contents = write_v57(file)
    write_v57_schema(empty_database, file)
    return Old(empty_database, file, contents)


def take_over(url: str, **chosen: int) -> schema.Found:
    parsed = PostgresUrl.parse(url)
    quiet = Adoption(lambda _what, _done, _total: None)
    return schema.migrate(parsed, lambda _: None, adoption=quiet, **chosen)


def sources() -> Sources:
    return Sources(TurnedClock(), SeededRandomness(1), RealDisk())


def open_server(url: str) -> PostgresStore:
    options = PostgresOptions(PostgresUrl.parse(url), most=3, least=1)
    return PostgresStore(WriteOptions(options), TurnedClock(), SeededRandomness(2))


def open_file(path: Path) -> Store:
    options = StoreOptions(path, mmap_bytes=0, model=None, dim=0, index_texts=True)
    return open_store(options, sources(), lambda _what, _done, _total: None)


def held(url: str, name: str) -> dict[str, Any]:
    """Every table of a schema with its rows, and the names of its views and functions."""
    functions = (
        "SELECT proname FROM pg_proc AS p WHERE pronamespace = %s::regnamespace"
        " AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = p.oid AND deptype = 'e')"
        " ORDER BY 1"
    )
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [name]
        ).fetchall()
        found: dict[str, Any] = {
            table: sorted(
                row
                for (row,) in connection.execute(
                    f'SELECT t::text FROM "{name}"."{table}" AS t'.encode()
                )
            )
            for (table,) in tables
        }
        for kind, query in (
            ("views", "SELECT viewname FROM pg_views WHERE schemaname = %s ORDER BY 1"),
            ("indexes", "SELECT indexname FROM pg_indexes WHERE schemaname = %s ORDER BY 1"),
            ("functions", functions),
        ):
            found[kind] = connection.execute(query, [name]).fetchall()
    return found


# --- what comes of it ------------------------------------------------------------------------


async def test_a_schema_and_a_file_with_the_same_rows_become_the_same_states(old: Old, ask):
    take_over(old.url)
    of_server, of_file = open_server(old.url), open_file(old.file)
    try:
        assert await of_server.digests() == await of_file.digests()
        assert any(bytes(32) != one for one in await of_file.digests())
        for store in (of_server, of_file):
            assert list(await store.applied_after(0, 10)) == []  # no entry was written
    finally:
        await of_server.close()
        await of_file.close()
    with closing(sqlite3.connect(old.file)) as connection:
        for statement in STATES:
            expected = connection.execute(statement).fetchall()
            assert expected
            assert ask(old.url, statement) == expected


def test_what_v070_had_stays_as_it_was_in_a_schema_of_its_own(old: Old, ask):
    before = held(old.url, "public")
    take_over(old.url)
    after = held(old.url, "public_before_adoption")
    assert after == before
    # v0.7.0 itself could go on there.
    there = f"{old.url}{TAIL}public_before_adoption,public"
    ask(there, "DELETE FROM memories WHERE id = %s", [old.contents.live[1]])
    linked = "SELECT count(*) FROM memory_links WHERE source_id = %s"
    assert ask(there, linked, [old.contents.live[1]]) == [(0,)]
    assert ask(old.url, linked, [old.contents.live[1]]) == [(1,)]


def test_every_row_of_every_table_comes_over(old: Old):
    before = held(old.url, "public")
    take_over(old.url)
    after = held(old.url, "public")
    tables = {name for name, rows in before.items() if rows and isinstance(rows[0], str)}
    assert len(tables) > 10
    for table in tables - {"schema_version"}:
        assert len(after[table]) == len(before[table]), table


def test_local_rows_keep_their_values_and_numbers_go_on_behind_them(old: Old, ask):
    ask(
        old.url,
        "INSERT INTO subscription_events (id, subscription_id, event_type, payload, delivered_at)"
        " VALUES (41, 's', 'memory_stored', '{\"a\": 1}', now())",
    )
    take_over(old.url)
    events = "SELECT id, payload FROM subscription_events"
    assert ask(old.url, events) == [(41, {"a": 1})]
    added = ask(
        old.url,
        "INSERT INTO subscription_events (subscription_id, event_type, payload, delivered_at)"
        " VALUES ('s', 'memory_stored', '{}', now()) RETURNING id",
    )
    assert added == [(42,)]
    signed = "SELECT sequence, prev_hash FROM signed_events ORDER BY sequence LIMIT 1"
    assert ask(old.url, signed) == [(1, bytes(32))]
    rules = "SELECT count(*) FROM governance_rules"  # which v0.7.0 does not have here
    assert ask(old.url, rules) == [(4,)]


def test_other_programs_tables_stay_where_they_are(old: Old, ask):
    ask(old.url, "CREATE TABLE invoices (no INTEGER)")
    take_over(old.url)
    found = "SELECT schemaname FROM pg_tables WHERE tablename = 'invoices'"
    assert ask(old.url, found) == [("public",)]


def test_a_schema_that_is_not_public_is_adopted_alike(tmp_path: Path, empty_database: str, ask):
    file = tmp_path / "old.db"
    write_v57(file)
    ask(empty_database, 'CREATE SCHEMA "ic_alice"')
    ask(empty_database, "CREATE EXTENSION vector")
    url = f"{empty_database}{TAIL}ic_alice"
    write_v57_schema(f"{url},public", file)
    assert take_over(url).status.current
    assert schema.inspect(PostgresUrl.parse(empty_database)).status.kind is SchemaKind.EMPTY
    kept = "SELECT count(*) FROM ic_alice_before_adoption.memories"
    assert ask(url, kept) == ask(url, "SELECT count(*) FROM ic_alice.memories")


def test_a_name_that_would_be_too_long_is_shortened():
    short, long = kept_schema("a" * 40), kept_schema("a" * 60)
    assert short == "a" * 40 + "_before_adoption"
    assert len(long) < 63
    assert long != kept_schema("a" * 59)


@pytest.mark.parametrize(("dim", "expected"), [(0, 384), (384, 384), (768, 768)])
def test_the_vectors_are_made_anew_in_the_length_that_is_asked_for(
    old: Old, ask, dim: int, expected: int
):
    found = take_over(old.url, **({"dim": dim} if dim else {}))
    assert found.dim == expected
    vectors = "SELECT count(embedding), count(embedding_dim) FROM memories"
    assert ask(old.url, vectors) == [(0, 0)]
    assert ask(f"{old.url}{TAIL}public_before_adoption", vectors)[0][0] > 0


def test_a_memory_that_is_live_and_archived_counts_as_live(old: Old, ask):
    ask(
        old.url,
        "INSERT INTO archived_memories (id, tier, title, content, created_at, updated_at,"
        " archived_at) SELECT id, tier, title, content, created_at, updated_at, now()"
        " FROM memories WHERE id = %s",
        [old.contents.live[0]],
    )
    take_over(old.url)
    found = "SELECT count(*) FROM memory_state WHERE id = %s"
    assert ask(old.url, found, [old.contents.live[0]]) == [(1,)]


# --- through the product ---------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[[str], ServerNode]]:
    made: list[ServerNode] = []

    def start(url: str) -> ServerNode:
        made.append(ServerNode.on(tmp_path / "node", url))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_node_serves_what_it_finds_and_goes_on_from_there(
    tmp_path: Path, empty_database: str, node: Callable[[str], ServerNode], ask
):
    file = tmp_path / "old.db"
    contents = write_v57(file, now=datetime.now(UTC))
    write_v57_schema(empty_database, file)
    served = node(empty_database)
    with httpx.Client(base_url=f"{served.url}/api/v1", headers={"X-Agent-Id": "agent-0"}) as api:
        found = api.get("/search", params={"q": "running", "limit": 50}).json()
        assert len(found["results"]) > 5  # "Running", by our analysis
        kept = contents.live[0]
        assert api.get(f"/memories/{kept}").json()["memory"]["title"] == "Note 0"
        changed = api.put(f"/memories/{kept}", json={"content": "Written after the adoption."})
        assert changed.status_code == 200
        # An upsert finds the adopted row by its name.
        body = {"title": "Note 3", "namespace": "projects/p1", "content": "Stored again."}
        stored = api.post("/memories", json={**body, "on_conflict": "merge"})
        assert stored.status_code == 201
        assert stored.json()["id"] == contents.live[3]
    assert ask(empty_database, "SELECT count(*) FROM log_entries")[0][0] >= 2
    assert served.stop() == 0
    assert "public_before_adoption" in served.log
    scrubbed = served.run("doctor", "--scrub", "--json")
    assert scrubbed.returncode == 0, scrubbed.stdout


def test_schema_init_adopts_and_doctor_only_looks(tmp_path: Path, old: Old, ask):
    run = ServerNode.on(tmp_path / "node", old.url).run
    looked = run("doctor")
    assert "the first command adopts it" in looked.stdout
    assert ask(old.url, "SELECT to_regclass('memory_state')") == [(None,)]

    made = run("schema-init", "--store-url", old.url, "--embedding-dim", "768", "--json")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert (document["schema_version"], document["embedding_dim"]) == (57, 768)
    assert "adopting" in made.stderr


# --- killed, raced, refused ------------------------------------------------------------------

INIT = (
    "import sys; from app.store.postgres import schema; from app.store.postgres.adoption import"
    " Adoption; from app.store.postgres.url import PostgresUrl;"
    " found = schema.migrate(PostgresUrl.parse(sys.stdin.read()), lambda _: None,"
    " adoption=Adoption(lambda *_: None)); assert found.status.current"
)


def launched(url: str) -> subprocess.Popen[str]:
    started = subprocess.Popen([sys.executable, "-c", INIT], stdin=subprocess.PIPE, text=True)
    assert started.stdin is not None
    started.stdin.write(url)
    started.stdin.close()
    return started


def enlarge(old: Old, ask) -> None:
    """Give it so many rows that its adoption takes a while."""
    ask(
        old.url,
        "INSERT INTO memories (id, tier, title, content, created_at, updated_at)"
        " SELECT 'more-' || n, 'long', 'More ' || n, repeat('plenty of words ', 60), now(), now()"
        f" FROM generate_series(1, {LARGE_ROWS}) AS n",
    )


@pytest.mark.parametrize("moment", ["INSERT INTO memories ", "INSERT INTO memory_state "])
def test_a_killed_adoption_leaves_everything_as_it_was(old: Old, ask, moment: str):
    enlarge(old, ask)
    before = held(old.url, "public")
    started = launched(old.url)
    running = "SELECT 1 FROM pg_stat_activity WHERE starts_with(query, %s)"
    try:
        with closing(psycopg.connect(old.url, autocommit=True)) as watching:
            wait_for(lambda: watching.execute(running, [moment]).fetchone() is not None, moment)
    finally:
        os.kill(started.pid, signal.SIGKILL)
        started.wait()
    wait_for(
        lambda: (
            not ask(old.url, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ai-memory'")
        ),
        "the server noticing",
    )
    assert held(old.url, "public") == before
    assert schema.inspect(PostgresUrl.parse(old.url)).status.kind is SchemaKind.V57_FOREIGN

    assert take_over(old.url).status.current
    assert held(old.url, "public_before_adoption") == before


def test_nodes_that_start_at_once_adopt_it_once(old: Old, ask):
    before = held(old.url, "public")
    processes = [launched(old.url) for _ in range(4)]
    ended = [one.wait(120) for one in processes]
    assert ended == [0] * 4
    assert held(old.url, "public_before_adoption") == before
    assert ask(old.url, "SELECT count(*) FROM digest_deltas") == [(1,)]


def with_version_54(url: str, ask) -> None:
    ask(url, "DELETE FROM schema_version WHERE version > 54")


def with_an_impossible_row(url: str, ask) -> None:
    ask(url, "UPDATE memories SET priority = 99 WHERE title = 'Note 1'")


def with_the_other_schema(url: str, ask) -> None:
    ask(url, "CREATE SCHEMA public_before_adoption")
    ask(url, "CREATE TABLE public_before_adoption.mine (x INTEGER)")


@pytest.mark.parametrize(
    ("spoil", "reason", "said"),
    [
        (with_version_54, "older", "version 54"),
        (with_an_impossible_row, "damaged", "memories_priority_check"),
        (with_the_other_schema, "kept_schema_taken", "public_before_adoption"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_left_alone(
    old: Old, ask, spoil: Callable[..., None], reason: str, said: str
):
    spoil(old.url, ask)
    before = held(old.url, "public")
    with pytest.raises(StoreOpenError, match=said) as refused:
        take_over(old.url)
    assert refused.value.details["reason"] == reason
    assert held(old.url, "public") == before


def test_tables_in_use_are_not_taken_away(old: Old, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adoption, "_LOCK_SECONDS", 1)
    with closing(psycopg.connect(old.url)) as busy:
        busy.execute("UPDATE memories SET priority = 5 WHERE title = 'Note 1'")
        with pytest.raises(StoreUnavailableError, match="stop every v0"):
            take_over(old.url)
        busy.rollback()
    assert take_over(old.url).status.current


@pytest.fixture
def role(postgres_server) -> Iterator[str]:
    """A user who may connect and nothing else."""
    name = f"ai_memory_test_heir_{os.getpid()}"
    postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'")
    yield name
    postgres_server.execute(f"DROP OWNED BY {name}")
    postgres_server.execute(f"DROP ROLE {name}")


def test_a_role_without_rights_is_told_which_it_needs(
    role: str, tmp_path: Path, postgres_server, postgres_databases, ask
):
    name = postgres_databases.create()
    owner = postgres_server.url(name)
    ask(owner, "CREATE EXTENSION vector")
    ask(owner, f"CREATE SCHEMA mine AUTHORIZATION {role}")
    url = f"{postgres_server.url(name, user=role, password='guest')}{TAIL}mine"
    file = tmp_path / "old.db"
    write_v57(file)
    write_v57_schema(f"{owner}{TAIL}mine,public", file)
    ask(owner, f"GRANT SELECT ON ALL TABLES IN SCHEMA mine TO {role}")
    with pytest.raises(StoreOpenError, match="must own them") as refused:
        take_over(url)  # the tables are another's
    assert refused.value.details["reason"] == "privilege"

    for (table,) in ask(owner, "SELECT tablename FROM pg_tables WHERE schemaname = 'mine'"):
        ask(owner, f"ALTER TABLE mine.{table} OWNER TO {role}")
    for view in ("kg_query_view", "kg_timeline_view"):
        ask(owner, f"ALTER VIEW mine.{view} OWNER TO {role}")
    for function in ("tier_rank", "kg_find_paths"):
        ask(owner, f"ALTER ROUTINE mine.{function} OWNER TO {role}")
    with pytest.raises(StoreOpenError, match="CREATE SCHEMA mine_before_adoption"):
        take_over(url)  # no schema may be made

    ask(owner, f"CREATE SCHEMA mine_before_adoption AUTHORIZATION {role}")
    assert take_over(url).status.current

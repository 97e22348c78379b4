"""What a PostgreSQL schema is found to be and what it becomes; the twin of `test_schema`."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import create_engine

from app.domain.errors import InvalidInputError, StoreOpenError, StoreUnavailableError
from app.store.ladder import HEAD_REVISION, REVISIONS, script
from app.store.postgres import schema
from app.store.postgres.url import PostgresUrl
from app.store.schema import SchemaKind
from app.store.tables import metadata
from tests.contract.schema_files import silent
from tests.contract.v57_columns import V57_COLUMNS, V57_NAMED_INDEXES
from tools.postgres.release import USUAL, wanted

STAY_TEXT = {
    ("memories", "confidence_decayed_at"),
    ("archived_memories", "confidence_decayed_at"),
    ("confidence_shadow_observations", "observed_at"),
    ("signed_events_dlq", "timestamp"),
    ("signed_events_dlq", "failed_at"),
}
DOCUMENTS = {"tags", "metadata", "approvals", "event_types", "payload_json", "matcher", "signals"}
DOCUMENTS |= {"payload", "allowed_tools"}

# Of this database only, like the index of SQLite that they stand for.
TEXT_COLUMNS = {"tsv", "search", "search_tokens"}
TEXT_INDEXES = {"memories_tsv_gin", "memories_search_gin", "memories_titles_gin"}

COLUMNS = """
    SELECT table_name, column_name, format_type(a.atttypid, a.atttypmod), is_nullable,
           column_default, generation_expression
    FROM information_schema.columns
    JOIN pg_attribute a ON a.attrelid = format('%%I.%%I', table_schema, table_name)::regclass
     AND a.attname = column_name
    JOIN pg_tables ON schemaname = table_schema AND tablename = table_name
    WHERE table_schema = %s AND table_name <> 'alembic_version'
"""
INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = %s"
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = %s::regnamespace AND contype <> 'n'
"""
TAIL = "&options=-csearch_path%3D"


def catalogue(ask, url: str, name: str = "public") -> dict[str, list[tuple[str, ...]]]:
    """Everything that stands in a schema, without the schema's own name."""
    found = {}
    for kind, query in (("column", COLUMNS), ("index", INDEXES), ("constraint", CONSTRAINTS)):
        rows = [
            tuple(str(cell).replace(f"{name}.", "") for cell in row)
            for row in ask(url, query, [name])
        ]
        found[kind] = sorted(row for row in rows if "alembic_version" not in row[0])
    return found


def migrate(url: str, dim: int | None = None) -> schema.Found:
    return schema.migrate(PostgresUrl.parse(url), silent, dim=dim)


def inspect(url: str) -> schema.Found:
    return schema.inspect(PostgresUrl.parse(url))


# --- a new schema ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", sorted(V57_COLUMNS))
def test_a_new_schema_has_every_column_of_v57(postgres_database: str, ask, table: str) -> None:
    expected = {}
    for part in V57_COLUMNS[table].split(","):
        name, kind, *_ = part.split()
        expected[name] = (postgres_type(table, name, kind.strip("*!")), "!" in kind or "*" in kind)
    found = {
        row[1]: (row[2], row[3] == "NO")
        for row in ask(postgres_database, COLUMNS, ["public"])
        if row[0] == table and row[1] not in TEXT_COLUMNS
    }
    assert found == expected


def postgres_type(table: str, name: str, kind: str) -> str:
    """The type map of v0.7.0: times, documents, counters and flags have types of their own."""
    if name == "embedding":
        return "vector(384)"
    if (table, name) not in STAY_TEXT and name.endswith(
        ("_at", "timestamp", "valid_from", "_until")
    ):
        return "timestamp with time zone" if kind == "TEXT" else "bigint"
    if name in DOCUMENTS and kind == "TEXT":
        return "jsonb"
    if name in {"granted", "consumed"}:
        return "boolean"
    if (table, name) in {("schema_version", "version"), ("governance_rules", "enabled")}:
        return "integer"
    return {
        "TEXT": "text",
        "INTEGER": "bigint",
        "BIGINT": "bigint",
        "REAL": "double precision",
        "BLOB": "bytea",
    }[kind]


@pytest.mark.parametrize("name", sorted(V57_NAMED_INDEXES))
def test_a_new_schema_has_the_named_indexes_of_v57(postgres_database: str, ask, name: str) -> None:
    query = "SELECT indexdef FROM pg_indexes WHERE indexname = %s"
    text = ask(postgres_database, query, [name])[0][0]
    parts = re.fullmatch(
        r"CREATE (UNIQUE )?INDEX \w+ ON public\.(\w+) USING btree \((.*?)\)( WHERE .*)?", text
    )
    assert parts is not None
    unique, table, columns, partial = parts.groups()
    described = f"{unique or ''}{table}({columns}){'?' if partial else ''}"
    assert described == V57_NAMED_INDEXES[name]


def test_a_new_schema_searches_text_and_vectors_as_v57_does(postgres_database: str, ask) -> None:
    indexes = dict(row[1:] for row in ask(postgres_database, INDEXES, ["public"]))
    assert "USING gin (tsv)" in indexes["memories_tsv_gin"]
    assert "USING hnsw (embedding vector_cosine_ops)" in indexes["memories_embedding_hnsw"]
    assert "text_pattern_ops" in indexes["idx_memories_namespace_prefix"]


def test_a_new_schema_says_version_57_once_and_brings_the_four_rules_switched_off(
    postgres_database: str, ask
) -> None:
    assert ask(postgres_database, "SELECT version FROM schema_version") == [(57,)]
    rules = ask(postgres_database, "SELECT id, enabled FROM governance_rules ORDER BY id")
    assert rules == [("R001", 0), ("R002", 0), ("R003", 0), ("R004", 0)]


def test_the_ladder_ends_in_the_declared_tables(empty_database: str, ask) -> None:
    migrate(empty_database)
    ask(empty_database, "CREATE SCHEMA declared")
    at = f"{empty_database}&options=-csearch_path%3Ddeclared,public"
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(at), use_native_hstore=False
    )
    with engine.begin() as connection:
        metadata.create_all(connection, checkfirst=False)
    engine.dispose()

    climbed = catalogue(ask, empty_database)
    climbed["column"] = [row for row in climbed["column"] if row[1] not in TEXT_COLUMNS]
    climbed["index"] = [row for row in climbed["index"] if row[1] not in TEXT_INDEXES]
    assert climbed == catalogue(ask, empty_database, "declared")


def test_a_new_schema_walks_its_links_as_v57_does(postgres_database: str, ask) -> None:
    ask(
        postgres_database,
        "INSERT INTO memory_links (source_id, target_id, relation, created_at, valid_from,"
        " signature, attest_level) VALUES"
        " ('a', 'b', 'related_to', now(), '2026-01-01', NULL, NULL),"
        " ('b', 'c', 'supersedes', now(), '2026-01-02',"
        " decode(repeat('0f', 64), 'hex'), 'self_signed'),"
        " ('c', 'a', 'related_to', now(), NULL, NULL, NULL)",
    )
    walked = "SELECT path, depth, relation FROM kg_query_view WHERE start_id = 'a' ORDER BY depth"
    assert ask(postgres_database, walked) == [
        ("a->b", 1, "related_to"),
        ("a->b->c", 2, "supersedes"),
    ]
    timeline = "SELECT source_id, signature FROM kg_timeline_view"
    assert ask(postgres_database, timeline) == [("b", "0f" * 64), ("a", None)]
    paths = "SELECT path FROM kg_find_paths('a', %s) ORDER BY path"
    assert ask(postgres_database, paths, [1]) == [("a->b",), ("a->c",)]
    assert ask(postgres_database, paths, [9]) == [("a->b",), ("a->b->c",), ("a->c",), ("a->c->b",)]
    assert ask(postgres_database, paths, [0]) == []
    ranks = "SELECT tier_rank('short'), tier_rank('mid'), tier_rank('long')"
    assert ask(postgres_database, ranks) == [(0, 1, 2)]


def test_migrating_again_changes_nothing(postgres_database: str, ask) -> None:
    before = catalogue(ask, postgres_database)
    told: list[str] = []
    found = schema.migrate(PostgresUrl.parse(postgres_database), told.append)
    assert found.status.current
    assert found.status.version == 57
    assert found.dim == 384
    assert told == []
    assert catalogue(ask, postgres_database) == before


def test_a_schema_of_its_own_is_made_and_others_are_left_alone(empty_database: str, ask) -> None:
    ask(empty_database, "CREATE TABLE memories (mine TEXT)")  # another program's, in public
    assert inspect(f"{empty_database}{TAIL}tenant").status.kind is SchemaKind.EMPTY

    assert migrate(f"{empty_database}{TAIL}tenant").status.current
    assert migrate(f"{empty_database}{TAIL}other", dim=768).status.current

    tables = ask(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables == [("memories",)]
    counted = "SELECT count(*) FROM pg_tables WHERE schemaname = ANY(%s) GROUP BY schemaname"
    assert len(set(ask(empty_database, counted, [["tenant", "other"]]))) == 1


# --- many at once ----------------------------------------------------------------------------

INIT = (
    "import sys; from app.store.postgres import schema; from app.store.postgres.url import"
    " PostgresUrl; found = schema.migrate(PostgresUrl.parse(sys.stdin.read()), print);"
    " assert found.status.current"
)


@pytest.mark.parametrize("apart", [False, True], ids=["one schema", "a schema each"])
def test_ten_nodes_may_start_at_once(empty_database: str, ask, apart: bool) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", INIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(10)
    ]
    told = []
    for number, process in enumerate(started):
        assert process.stdin is not None
        process.stdin.write(f"{empty_database}{TAIL}{f'node{number}' if apart else 'shared'}")
        process.stdin.close()
    for process in started:
        assert process.stdout is not None
        told.append(process.stdout.read())
        assert process.wait(120) == 0
        process.stdout.close()
    made = ask(empty_database, "SELECT count(*) FROM pg_tables WHERE tablename = 'memories'")
    assert made == [(10 if apart else 1,)]
    if not apart:
        assert ask(empty_database, "SELECT count(*) FROM shared.schema_version") == [(1,)]
        assert ask(empty_database, "SELECT count(*) FROM shared.governance_rules") == [(4,)]


def test_who_waits_too_long_for_another_migration_is_told(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATION_LOCK_SECONDS", 0.2)
    with closing(psycopg.connect(empty_database)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [schema.MIGRATION_LOCK])
        with pytest.raises(StoreUnavailableError, match="another node has been migrating"):
            migrate(empty_database)
    assert migrate(empty_database).status.current


def test_a_migration_in_this_process_may_be_raced_by_another(empty_database: str) -> None:
    found: list[schema.Found] = []
    threads = [
        threading.Thread(target=lambda: found.append(migrate(empty_database))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.status.current for one in found] == [True] * 4


# --- what is refused -------------------------------------------------------------------------


def with_version(url: str, ask, version: int) -> None:
    migrate(url)
    ask(url, "UPDATE schema_version SET version = %s", [version])


def newer_revision(url: str, ask) -> None:
    migrate(url)
    ask(url, "UPDATE alembic_version SET version_num = '0999_later'")


def made_by_v070(url: str, ask) -> None:
    for statement in script(REVISIONS[0], "postgresql"):
        ask(url, statement)


def revision_missing(url: str, ask) -> None:
    migrate(url)
    ask(url, "DROP TABLE alembic_version")


def table_missing(url: str, ask) -> None:
    migrate(url)
    ask(url, "DROP TABLE log_entries")


def memories_missing(url: str, ask) -> None:
    migrate(url)
    ask(url, "DROP TABLE memories")


def in_the_way(url: str, ask) -> None:
    ask(url, "CREATE TABLE tombstones (mine TEXT)")


@pytest.mark.parametrize(
    ("spoil", "reason", "said"),
    [
        (lambda url, ask: with_version(url, ask, 54), "older", "version 54"),
        (lambda url, ask: with_version(url, ask, 58), "newer", "version 58"),
        (newer_revision, "newer", "0999_later"),
        (made_by_v070, "v57_foreign", r"written by ai-memory v0\.7\.0: open it once"),
        (revision_missing, "damaged", "the schema revision is missing"),
        (table_missing, "damaged", "log_entries"),
        (memories_missing, "damaged", "memories"),
        (in_the_way, "not_a_database", "another program's"),
    ],
)
def test_a_schema_we_cannot_use_is_refused_by_name_and_left_alone(
    empty_database: str, ask, spoil: Callable[..., None], reason: str, said: str
) -> None:
    spoil(empty_database, ask)
    before = catalogue(ask, empty_database)

    with pytest.raises(StoreOpenError, match=said) as refused:
        migrate(empty_database)

    assert refused.value.details["reason"] == reason
    assert catalogue(ask, empty_database) == before


def test_a_schema_that_stopped_on_a_lower_rung_climbs_the_rest(empty_database: str, ask) -> None:
    for revision in REVISIONS[:2]:
        for statement in script(revision, "postgresql"):
            ask(empty_database, statement)
    ask(empty_database, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    ask(empty_database, "INSERT INTO alembic_version VALUES (%s)", [REVISIONS[1]])
    assert not inspect(empty_database).status.current

    assert migrate(empty_database).status.revision == HEAD_REVISION


@pytest.fixture
def role(postgres_server, ask) -> Iterator[str]:
    """A user who may connect and nothing else."""
    name = f"ai_memory_test_guest_{os.getpid()}"
    postgres_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'")
    yield name
    postgres_server.execute(f"DROP OWNED BY {name}")
    postgres_server.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(("tail", "where"), [("", "public"), (f"{TAIL}mine", "mine")])
def test_a_role_that_may_not_create_is_told_what_to_grant(
    postgres_server, postgres_databases, ask, role: str, tail: str, where: str
) -> None:
    name = postgres_databases.create()
    ask(postgres_server.url(name), "CREATE EXTENSION vector")
    with pytest.raises(StoreOpenError, match="GRANT USAGE, CREATE ON SCHEMA") as refused:
        migrate(postgres_server.url(name, user=role, password="guest") + tail)
    assert refused.value.details["reason"] == "privilege"
    assert f"schema {where}" in refused.value.message
    assert "guest@" not in refused.value.message.replace(role, "")


def test_a_role_that_may_create_needs_no_more(
    postgres_server, postgres_databases, ask, role: str
) -> None:
    name = postgres_databases.create()
    ask(postgres_server.url(name), "CREATE EXTENSION vector")
    ask(postgres_server.url(name), f"CREATE SCHEMA mine AUTHORIZATION {role}")
    url = f"{postgres_server.url(name, user=role, password='guest')}{TAIL}mine"
    assert migrate(url).status.current
    postgres_databases.drop_all()


def test_a_missing_pgvector_is_told_with_its_fix(
    postgres_server, postgres_databases, ask, role: str
) -> None:
    name = postgres_databases.create()
    url = postgres_server.url(name)
    guest = postgres_server.url(name, user=role, password="guest")
    with pytest.raises(StoreOpenError, match="lacks the extension pgvector") as forbidden:
        migrate(guest)  # who may not create extensions
    found = [forbidden]
    if wanted(os.environ) is USUAL:  # an older server finds its extensions in one place only
        postgres_server.execute(f"ALTER DATABASE {name} SET extension_control_path = '/nowhere'")
        with pytest.raises(StoreOpenError, match="lacks the extension pgvector") as absent:
            migrate(url)  # the server has no such files
        found.append(absent)
    for refused in found:
        assert refused.value.details["reason"] == "pgvector_missing"
        assert "postgresql-18-pgvector" in refused.value.message
        assert "CREATE EXTENSION vector" in refused.value.message
    assert inspect(url).status.kind is SchemaKind.EMPTY


# --- the dimension of the embedding column -----------------------------------------------------

ROW = """
    INSERT INTO memories (id, tier, title, content, created_at, updated_at, embedding,
                          embedding_dim)
    VALUES ('m1', 'mid', 't', 'c', now(), now(), array_fill(0.5, ARRAY[384])::vector, 384)
"""


def test_the_dimension_is_chosen_when_the_schema_is_made(empty_database: str, ask) -> None:
    assert migrate(empty_database, dim=768).dim == 768
    types = {row[2] for row in ask(empty_database, COLUMNS, ["public"]) if row[1] == "embedding"}
    assert types == {"vector(768)"}
    assert migrate(empty_database).dim == 768


def test_another_dimension_is_refused(postgres_database: str) -> None:
    with pytest.raises(StoreOpenError, match="384 dimensions, and 768 are asked for") as refused:
        migrate(postgres_database, dim=768)
    assert refused.value.details["reason"] == "embedding_dim"
    with pytest.raises(InvalidInputError, match="384 or 768"):
        migrate(postgres_database, dim=512)


def test_an_empty_store_may_change_its_dimension(postgres_database: str) -> None:
    url = PostgresUrl.parse(postgres_database)
    assert schema.change_dimension(url, 768, force=False)
    assert not schema.change_dimension(url, 768, force=False)
    assert inspect(postgres_database).dim == 768


def test_a_store_with_memories_gives_up_its_vectors_only_when_told_to(
    postgres_database: str, ask
) -> None:
    ask(postgres_database, ROW)
    url = PostgresUrl.parse(postgres_database)
    with pytest.raises(StoreOpenError, match="--force-reembed"):
        schema.change_dimension(url, 768, force=False)
    kept = "SELECT embedding IS NULL, embedding_dim FROM memories"
    assert ask(postgres_database, kept) == [(False, 384)]

    assert schema.change_dimension(url, 768, force=True)

    assert ask(postgres_database, kept) == [(True, None)]
    assert inspect(postgres_database).dim == 768

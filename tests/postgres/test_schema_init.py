"""`schema-init` on a PostgreSQL store: what it makes, says and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.node import own_environment
from tools.postgres.cluster import Cluster
from tools.postgres.programs import find_programs
from tools.postgres.release import OLDER

REPOSITORY = Path(__file__).parents[2]
TAIL = "&options=-csearch_path%3D"


@pytest.fixture
def schema_init(tmp_path: Path):
    """Run the verb; the finished process."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", "schema-init", *words],
            cwd=REPOSITORY,
            env={**own_environment(tmp_path, {"PYTHONPATH": str(REPOSITORY)}), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_makes_a_store_and_lists_what_it_has(schema_init, empty_database: str) -> None:
    done = schema_init("--store-url", empty_database, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {
        *("url", "kind", "tables", "views", "functions", "indices", "extensions"),
        *("schema_version", "age_projection_created", "embedding_dim", "embedding_dim_migrated"),
    }
    assert document["kind"] == "postgres"
    assert document["schema_version"] == 57
    assert {"memories", "memory_links", "log_entries"} <= set(document["tables"])
    assert document["views"] == ["kg_query_view", "kg_timeline_view"]
    assert document["functions"] == ["kg_find_paths", "tier_rank"]
    assert {"memories_tsv_gin", "memories_embedding_hnsw"} <= set(document["indices"])
    assert document["extensions"] == ["age", "vector"]
    assert document["embedding_dim"] == 384
    assert not document["embedding_dim_migrated"]
    assert document["age_projection_created"]


def test_the_dimension_is_chosen_and_changed_only_knowingly(
    schema_init, empty_database: str, ask
) -> None:
    store = ("--store-url", empty_database)
    made = json.loads(schema_init(*store, "--embedding-dim", "768", "--json").stdout)
    assert (made["embedding_dim"], made["embedding_dim_migrated"]) == (768, False)
    changed = json.loads(schema_init(*store, "--embedding-dim", "384", "--json").stdout)
    assert (changed["embedding_dim"], changed["embedding_dim_migrated"]) == (384, True)
    ask(
        empty_database,
        "INSERT INTO memories (id, tier, title, content, created_at, updated_at)"
        " VALUES ('m', 'mid', 't', 'c', now(), now())",
    )

    refused = schema_init(*store, "--embedding-dim", "768")
    assert refused.returncode == 69
    assert "--force-reembed" in refused.stderr
    forced = schema_init(*store, "--embedding-dim", "768", "--force-reembed")
    assert forced.returncode == 0
    assert schema_init(*store, "--embedding-dim", "5").returncode == 1


def test_for_people_it_is_a_few_lines_without_the_password(
    schema_init, empty_database: str
) -> None:
    address = empty_database.replace("postgres@", "postgres:not-the-password@", 1)
    refused = schema_init("--store-url", address)
    assert refused.returncode == 69
    assert "refuses the user name or password" in refused.stderr
    assert "not-the-password" not in refused.stderr + refused.stdout

    done = schema_init("--store-url", empty_database)
    first, second, third, *_ = done.stdout.splitlines()
    assert first.startswith("schema initialized at postgresql://postgres@")
    assert "passfile" not in first
    assert "schema version 57" in second
    assert third == "extensions: age, vector"


def test_the_dimension_is_no_matter_of_a_file(schema_init, tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path / 'x.db'}"
    refused = schema_init("--store-url", url, "--embedding-dim", "768")
    assert refused.returncode == 1
    assert "for a PostgreSQL store" in refused.stderr
    assert not (tmp_path / "x.db").exists()


def test_an_age_that_is_loaded_and_not_created_is_no_obstacle_or_is_named(schema_init, ask) -> None:
    """AGE before 1.6 fails there whenever a table is rewritten."""
    programs = find_programs(lambda _: None)
    cluster = Cluster.create(programs)
    try:
        cluster.start({"shared_preload_libraries": "age"})
        if programs.release is OLDER:
            refused = schema_init("--store-url", cluster.url())
            assert refused.returncode != 0
            assert "CREATE EXTENSION age; in this database" in refused.stderr
            ask(cluster.url(), "CREATE EXTENSION age")
        done = schema_init("--store-url", cluster.url())
        assert done.returncode == 0, done.stderr
    finally:
        cluster.stop()

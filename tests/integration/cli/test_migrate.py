"""`migrate` as a person runs it: what it says, what it refuses, and with which exit code."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.integration.cli.conftest import CommandLine
from tests.integration.node import REPOSITORY, own_environment

SECRET = "hunter2-of-the-test"


@pytest.fixture
def migrate(tmp_path: Path):
    """Run the verb; the finished process."""

    def run(source: str, target: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app", "migrate", "--from", source, "--to", target, *words],
            cwd=REPOSITORY,
            env=own_environment(tmp_path, {"PYTHONPATH": str(REPOSITORY)}),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def filled(alone: CommandLine) -> CommandLine:
    """A database with two memories and a link."""
    one = alone.store("first", "apples and pears", "-n", "fruit")
    other = alone.store("second", "plums", "-n", "fruit")
    assert alone("link", one["id"], other["id"]).code == 0
    return alone


def address(path: Path) -> str:
    return f"sqlite://{path}"


def test_a_store_moves_to_postgresql_and_back_and_answers_as_before(
    migrate, filled: CommandLine, empty_database: str, tmp_path: Path
):
    there = migrate(address(filled.db), empty_database, "--json")
    assert there.returncode == 0, there.stderr
    document = json.loads(there.stdout)
    assert document["memories_read"] == document["memories_written"] == 2
    assert document["verified"]
    assert document["errors"] == []
    assert not document["dry_run"]
    assert document["tables"]["record_state"] == 1
    back = tmp_path / "back.db"
    again = migrate(empty_database, address(back), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["digest"] == document["digest"]
    moved = CommandLine(filled.folder, back)
    hits = moved("search", "pears", "-n", "fruit", "--json").json
    assert [row["title"] for row in hits["results"]] == ["first"]
    assert moved("doctor", "--scrub", "--json").json["overall"] != "critical"
    assert moved.store("third", "cherries", "-n", "fruit")["title"] == "third"


def test_a_dry_run_counts_and_makes_nothing(migrate, filled: CommandLine, tmp_path: Path):
    target = tmp_path / "new.db"
    done = migrate(address(filled.db), address(target), "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["dry_run"]
    assert (document["memories_read"], document["memories_written"]) == (2, 0)
    assert list(tmp_path.glob("new.db*")) == []


@pytest.mark.parametrize(
    "text",
    [
        f"mysql://user:{SECRET}@host/db",
        f"sqlite:{SECRET}",
        f"{SECRET}",
        f"postgresql://user:{SECRET}@[::1/db",
    ],
)
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_an_address_that_is_none_is_refused_without_repeating_it(
    migrate, filled: CommandLine, text: str, option: str
):
    pair = (text, address(filled.db)) if option == "--from" else (address(filled.db), text)
    done = migrate(*pair)
    assert done.returncode == 1
    assert "postgresql://" in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_no_password_is_printed_whatever_happens(migrate, filled: CommandLine):
    url = f"postgresql://someone:{quote(SECRET)}@127.0.0.1:1/nowhere"
    for words in ((), ("--dry-run",), ("--json",)):
        done = migrate(address(filled.db), url, *words)
        assert done.returncode == 69
        assert SECRET not in done.stderr + done.stdout


def test_refusals_have_their_exit_codes(migrate, filled: CommandLine, tmp_path: Path):
    here, new = address(filled.db), address(tmp_path / "new.db")
    text = tmp_path / "text.db"
    text.write_text("no database at all, and long enough to be looked at" * 20)
    assert migrate(here, here).returncode == 1
    assert migrate(address(tmp_path / "missing.db"), new).returncode == 69
    assert migrate(address(text), new).returncode == 65
    assert migrate(here, address(text)).returncode == 65
    assert migrate(here, new, "--batch", "0").returncode == 2


def test_a_store_that_a_node_serves_is_not_moved(migrate, cli: CommandLine, tmp_path: Path):
    done = migrate(address(cli.db), address(tmp_path / "new.db"))
    assert done.returncode == 75
    assert "is open in serve" in done.stderr


def test_vectors_must_fit_the_target(migrate, filled: CommandLine, empty_database: str):
    with closing(sqlite3.connect(filled.db)) as connection:
        connection.execute(
            "INSERT INTO memory_vectors (memory_id, stamp, content_hash, model, dim, vector)"
            " SELECT id, '', x'00', 'wide', 768, zeroblob(1536) FROM memories"
        )
        connection.commit()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        [sys.executable, "-m", "app", "schema-init", "--store-url", empty_database],
        env=environment | own_environment(filled.folder, {"PYTHONPATH": str(REPOSITORY)}),
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    done = migrate(address(filled.db), empty_database)
    assert done.returncode == 69
    assert "holds vectors of 384 dimensions, and 768 are asked for" in done.stderr


def test_a_store_that_differs_in_the_end_is_code_3_and_stays_closed(
    migrate, filled: CommandLine, empty_database: str
):
    # A row that the digest does not cover, of a table that PostgreSQL fills by a rule of its own.
    schema_init = [sys.executable, "-m", "app", "schema-init", "--store-url", empty_database]
    environment = own_environment(filled.folder, {"PYTHONPATH": str(REPOSITORY)})
    subprocess.run(schema_init, cwd=REPOSITORY, env=environment, check=True, capture_output=True)
    with closing(psycopg.connect(empty_database, autocommit=True)) as connection:
        connection.execute("CREATE RULE lost AS ON INSERT TO memory_links DO INSTEAD NOTHING")
    done = migrate(address(filled.db), empty_database, "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["errors"] == [
        "memory_links: 1 rows in the source, 0 in the target"
    ]
    assert "memory_links: 1 rows in the source, 0 in the target" in done.stderr
    again = subprocess.run(
        schema_init, cwd=REPOSITORY, env=environment, check=False, capture_output=True, text=True
    )
    assert again.returncode == 69
    assert "a move that is not finished" in again.stderr

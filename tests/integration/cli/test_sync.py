"""`sync`: two files and one merge."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.fixtures.v57 import write_v57
from tests.integration.cli.conftest import CommandLine, InProcess, command_line


@pytest.fixture
def other(tmp_path: Path) -> CommandLine:
    return command_line(tmp_path / "other", tmp_path / "other" / "other.db", InProcess)


def titles(cli):
    return {one["title"]: one for one in cli("list", "--json", "--limit", "100").json["memories"]}


def edit(cli, memory_id, content):
    assert cli("update", memory_id, "-c", content, "--json").code == 0


def test_merge_brings_both_to_the_same_rows(alone, other):
    mine = alone.store("Mine", "here")
    theirs = other.store("Theirs", "there", "--agent-id", "ai:bob")
    assert alone("sync", str(other.db), "--json").json == {
        "direction": "merge",
        "pulled": 1,
        "pushed": 2,
        "skipped": [],
    }
    assert set(titles(alone)) == {"Mine", "Theirs"}
    assert {one["id"] for one in titles(other).values()} == {mine["id"], theirs["id"]}
    again = alone("sync", str(other.db), "--json").json
    assert (again["pulled"], again["pushed"]) == (0, 0)


def test_an_older_row_never_wins_whichever_way_it_goes(alone, other):
    """W42: in the original both one-way syncs overwrite what is newer."""
    made = alone.store("Row", "first")
    assert other("stats").code == 0  # so that there is a file
    alone("sync", str(other.db), "--direction", "push")
    edit(other, made["id"], "second, there")
    assert alone("sync", str(other.db), "-d", "push", "--json").json["exported"] == 0
    assert titles(other)["Row"]["content"] == "second, there"
    assert alone("sync", str(other.db), "-d", "pull", "--json").json["imported"] == 1
    assert titles(alone)["Row"]["content"] == "second, there"
    edit(alone, made["id"], "third, here")
    assert alone("sync", str(other.db), "-d", "pull", "--json").json["imported"] == 0
    assert titles(alone)["Row"]["content"] == "third, here"


def test_pulled_rows_become_the_callers_unless_the_source_is_trusted(alone, other):
    other.store("Theirs", "there", "--agent-id", "ai:bob")
    alone("--agent-id", "ai:ann", "sync", str(other.db), "-d", "pull")
    metadata = titles(alone)["Theirs"]["metadata"]
    assert (metadata["agent_id"], metadata["imported_from_agent_id"]) == ("ai:ann", "ai:bob")
    assert alone("sync", str(other.db), "-d", "pull", "--json").json["imported"] == 0
    assert titles(other)["Theirs"]["metadata"]["agent_id"] == "ai:bob"
    other.store("Trusted", "there too", "--agent-id", "ai:bob")
    alone("--agent-id", "ai:ann", "sync", str(other.db), "-d", "pull", "--trust-source")
    metadata = titles(alone)["Trusted"]["metadata"]
    assert metadata["agent_id"] == "ai:bob"
    assert "imported_from_agent_id" not in metadata


def test_a_dry_run_says_what_the_merge_would_do_and_does_nothing(alone, other):
    both = alone.store("Both", "one")
    assert other("stats").code == 0
    alone("sync", str(other.db))
    edit(other, both["id"], "two")
    other.store("Theirs", "there")
    alone.store("Mine", "here")
    before = other.db.read_bytes()
    found = alone("sync", str(other.db), "--dry-run", "--json").json
    assert (found["dry_run"], found["direction"]) == (True, "merge")
    ways = {
        way: {name: found[way][name] for name in ("new", "update", "noop", "links")}
        for way in ("pull", "push")
    }
    assert ways == {
        "pull": {"new": 1, "update": 1, "noop": 0, "links": 0},
        "push": {"new": 1, "update": 0, "noop": 1, "links": 0},
    }
    assert set(titles(alone)) == {"Both", "Mine"}
    assert other.db.read_bytes() == before


def test_links_go_along(alone, other):
    one, two = other.store("One", "1"), other.store("Two", "2")
    assert other("link", one["id"], two["id"]).code == 0
    text = alone("sync", str(other.db), "-d", "pull").out
    assert "2 new" in text
    assert "1 links" in text
    found = alone("get", one["id"], "--json").json
    assert len(found["links"]) == 1


def test_a_file_of_v070_is_only_read_by_a_pull(alone, tmp_path):
    old = tmp_path / "old.db"
    write_v57(old)
    before = old.read_bytes()
    found = alone("sync", str(old), "-d", "pull", "--json").json
    assert found["imported"] > 0
    assert old.read_bytes() == before
    with sqlite3.connect(old) as connection:
        (count,) = connection.execute("SELECT count(*) FROM memories").fetchone()
    assert len(titles(alone)) <= count


@pytest.mark.parametrize("words", [("missing.db",), ("missing.db", "--direction", "sideways")])
def test_what_cannot_be_done_is_refused(alone, words):
    assert alone("sync", *words).code in {1, 2}


def test_a_running_node_does_its_part(cli, other):
    theirs = other.store("For the running node", "there")
    done = cli("sync", str(other.db), "-d", "pull", "--json")
    assert json.loads(done.out)["imported"] == 1
    assert cli("get", theirs["id"], "--json").json["memory"]["content"] == "there"

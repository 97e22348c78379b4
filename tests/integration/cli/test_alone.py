"""Commands on a database that no node has open: they open it themselves, one after the other."""

import json
import sqlite3
import subprocess
import sys

import pytest

from tests.integration.cli.conftest import InProcess, command_line
from tests.integration.node import Node


def test_commands_alone_and_a_node_later_see_the_same_memories(tmp_path):
    node = Node(tmp_path / "n")
    cli = command_line(node.folder, node.db)
    alone = cli.store("alone", "stored without a node", "-n", "both")
    node.start()
    try:
        through = cli.store("through", "stored through the node", "-n", "both")
    finally:
        assert node.stop() == 0
    listed = cli("list", "-n", "both", "--json").json["memories"]
    assert {memory["id"] for memory in listed} == {alone["id"], through["id"]}
    # One origin wrote all of it: nothing forked while owners changed.
    with sqlite3.connect(node.db) as connection:
        assert connection.execute("SELECT count(*) FROM log_origins").fetchone() == (1,)


def test_commands_at_the_same_time_wait_for_one_another(alone):
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "app", "--config", str(alone.folder / "config.toml")),
                *(
                    "--db",
                    str(alone.db),
                    "store",
                    "-n",
                    "n",
                    "-T",
                    f"t{number}",
                    "-c",
                    f"c{number}",
                ),
            ],
            env=alone.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert alone("list", "-n", "n", "--json").json["count"] == 2


def test_a_process_writes_results_and_nothing_else_to_standard_output(tmp_path):
    done = command_line(tmp_path, tmp_path / "x.db")("stats", "--json")
    assert json.loads(done.out)["total"] == 0
    assert done.err == ""


def test_an_export_imports_into_another_database_with_owners_and_links(alone, tmp_path):
    one = alone.store("one", "first", "-n", "carry", "--agent-id", "ann")
    two = alone.store("two", "second é", "-n", "carry", "--agent-id", "bob")
    assert alone("link", one["id"], two["id"], "-r", "derived_from").code == 0
    text = alone("export").out
    document = json.loads(text)
    assert set(document) == {"memories", "links", "count", "exported_at"}
    assert (document["count"], len(document["links"])) == (2, 1)

    trusting = command_line(tmp_path / "t", tmp_path / "t" / "t.db", InProcess)
    answer = trusting("import", "--trust-source", "--json", stdin=text).json
    assert answer == {"imported": 2, "restamped": 0, "trusted_source": True, "errors": []}
    again = json.loads(trusting("export").out)
    assert again["memories"] == document["memories"]
    assert [link["target_id"] for link in again["links"]] == [two["id"]]

    wary = command_line(tmp_path / "w", tmp_path / "w" / "w.db", InProcess)
    assert wary("import", "--json", stdin=text).json["restamped"] == 2
    metadata = wary("get", one["id"], "--json").json["memory"]["metadata"]
    assert (metadata["agent_id"], metadata["imported_from_agent_id"]) == ("local", "ann")


def test_rows_that_cannot_be_read_fail_alone(alone):
    good = alone.store("good", "good row", "-n", "rows")
    rows = [{**good, "id": f"{number}", "title": f"t{number}"} for number in range(5)]
    rows[1]["tier"] = "ever"
    rows[3] = {"id": "3", "title": "half a row"}
    done = alone("import", "--json", stdin=json.dumps({"memories": rows}))
    assert done.json["imported"] == 3
    assert len(done.json["errors"]) == 2
    assert done.err.count("not imported: ") == 2
    assert alone("list", "-n", "rows", "--json").json["count"] == 4


@pytest.mark.parametrize("text", ["", "[1]", '{"links": []}', "nonsense"])
def test_what_is_no_export_is_refused_before_the_database_is_touched(alone, text):
    assert alone("import", stdin=text).code == 1
    assert not alone.db.exists()


def test_a_backup_is_restored_and_the_database_of_before_is_kept(alone, tmp_path):
    kept = alone.store("kept", "in the backup", "-n", "snap")
    folder = tmp_path / "backups"
    manifest = alone("backup", "--to", str(folder), "--json").json
    assert set(manifest) == {
        *("snapshot", "sha256", "bytes", "source_db", "version", "created_at"),
    }
    alone.store("late", "after the backup", "-n", "snap")
    answer = alone("restore", "--from", str(folder), "--json").json
    assert answer["status"] == "restored"
    listed = alone("list", "-n", "snap", "--json").json["memories"]
    assert [memory["id"] for memory in listed] == [kept["id"]]
    (before,) = alone.folder.glob("alone.pre-restore-*.db")
    with sqlite3.connect(before) as connection:
        assert connection.execute("SELECT count(*) FROM memories").fetchone() == (2,)


def test_after_a_restore_the_node_writes_under_a_new_origin(alone, tmp_path):
    """Even when the snapshot was taken by the very run that its sidecar remembers."""
    alone.store("one", "before", "-n", "epoch")
    alone("backup", "--to", str(tmp_path / "b"))
    origins = set()
    for number in range(2):
        assert alone("restore", "--from", str(tmp_path / "b")).code == 0
        alone.store(f"after {number}", f"after restore {number}", "-n", "epoch")
        with sqlite3.connect(alone.db) as connection:
            rows = connection.execute("SELECT origin FROM log_origins WHERE head_seq > 0")
            origins |= {origin for (origin,) in rows}
    assert len(origins) == 3


def test_a_snapshot_that_was_changed_is_refused_and_nothing_is_touched(alone, tmp_path):
    alone.store("safe", "untouched", "-n", "safe")
    folder = tmp_path / "b"
    snapshot = folder / alone("backup", "--to", str(folder), "--json").json["snapshot"]
    with snapshot.open("r+b") as file:
        file.seek(-10, 2)
        file.write(b"corruption")
    before = alone.db.read_bytes()
    refused = alone("restore", "--from", str(snapshot))
    assert refused.code == 1
    assert "hash" in refused.err
    assert alone.db.read_bytes() == before
    snapshot.write_bytes(b"no database at all" * 100)
    assert alone("restore", "--from", str(snapshot), "--skip-verify").code == 65
    assert alone.db.read_bytes() == before


def test_old_snapshots_go_with_their_manifests(alone, tmp_path):
    alone.store("x", "y", "-n", "keep")
    folder = tmp_path / "b"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"ai-memory-2020-01-0{day}T000000Z.db").write_text("old")
        (folder / f"ai-memory-2020-01-0{day}T000000Z.manifest.json").write_text("{}")
    assert alone("backup", "--to", str(folder), "--keep", "2").code == 0
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 4
    assert left[0] == "ai-memory-2020-01-03T000000Z.db"
    assert alone("restore", "--from", str(tmp_path / "none")).code == 1


@pytest.mark.parametrize(
    ("version", "code", "said"), [(40, 66, "schema version 40"), (58, 76, "newer ai-memory")]
)
def test_a_database_of_another_version_is_refused_and_left_alone(alone, version, code, said):
    alone.store("x", "y", "-n", "n")
    with sqlite3.connect(alone.db) as connection:
        connection.execute("UPDATE schema_version SET version = ?", (version,))
    connection.close()
    before = alone.db.read_bytes()
    for words in (("list",), ("serve", "--port", "0"), ("backup", "--to", str(alone.folder))):
        done = alone(*words)
        assert done.code == code
    assert said in alone("list").err
    assert alone("doctor").code == 2
    assert alone.db.read_bytes() == before


def test_a_damaged_database_is_65_and_left_alone(alone):
    alone.store("x", "y", "-n", "n")
    whole = alone.db.read_bytes()
    alone.db.write_bytes(whole[: len(whole) // 2])
    for words in (("list",), ("serve", "--port", "0")):
        done = alone(*words)
        assert done.code == 65
        assert "damaged" in done.err
    assert alone.db.read_bytes() == whole[: len(whole) // 2]
    alone.db.write_text("a letter, not a database\n" * 50)
    assert alone("list").code == 65


def test_a_folder_that_is_not_there_is_73(alone):
    done = InProcess(alone.folder, alone.folder / "none" / "x.db")("list")
    assert done.code == 73
    assert "No such file" in done.err


def test_schema_init_makes_a_store_and_lists_what_it_has(alone):
    url = f"sqlite://{alone.folder / 'fresh.db'}"
    document = alone("schema-init", "--store-url", url, "--json").json
    assert document["kind"] == "sqlite"
    assert document["schema_version"] == 57
    assert {"memories", "memory_links", "log_entries"} <= set(document["tables"])
    assert (alone.folder / "fresh.db").exists()
    assert alone("schema-init", "--store-url", "mysql://x").code == 1


def test_doctor_does_not_make_a_database(alone):
    done = alone("doctor")
    assert done.code == 0
    assert "no database yet" in done.out
    assert not alone.db.exists()


def test_config_migrate_moves_flat_keys_and_says_how_it_ended(alone):
    file = alone.folder / "old.toml"
    file.write_text('# kept\ndefault_namespace = "mine"\n', encoding="utf-8")
    words = ("--config", str(file), "config", "migrate")
    dry = alone(*words, "--dry-run")
    assert (dry.code, dry.out) == (1, "")
    assert 'default_namespace = "mine"' in dry.err
    assert file.read_text(encoding="utf-8").startswith("# kept")
    assert alone(*words).code == 0
    assert "[storage]" in file.read_text(encoding="utf-8")
    assert alone(*words).code == 0
    assert alone("--config", str(alone.folder / "no.toml"), "config", "migrate").code == 2
    file.write_text("= nonsense", encoding="utf-8")
    assert alone(*words).code == 3

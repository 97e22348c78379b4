"""What an SQLite file is found to be, what it becomes, and what its triggers then refuse."""

import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.domain.errors import StoreFullError, StoreOpenError, StoreUnavailableError
from app.store import schema
from app.store.ladder import HEAD_REVISION, REVISIONS, script
from app.store.schema import SchemaKind
from tests.contract.schema_files import assert_index_agrees, matches, opened, silent
from tests.contract.v57_columns import V57_COLUMNS, V57_NAMED_INDEXES
from tests.fixtures.v57 import write_v57


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    path = tmp_path / "fresh.db"
    schema.migrate(path, silent)
    return path


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    described = []
    rows = connection.execute(f"SELECT * FROM pragma_table_xinfo('{table}')")
    for _, name, kind, required, default, key, _ in rows:
        text = f"{name} {kind.upper().removesuffix(' GENERATED ALWAYS')}"
        # SQLite ignores NOT NULL on an INTEGER PRIMARY KEY, and ours states it on each single key.
        single = key and not is_composite(connection, table)
        text += "*" if key else ""
        text += "!" if required and (not single or without_rowid(connection, table)) else ""
        if default is not None:
            text += " =now" if "strftime" in default else f" ={default.strip('()')}"
        described.append(text)
    return sorted(described)


def is_composite(connection: sqlite3.Connection, table: str) -> bool:
    query = f"SELECT count(*) FROM pragma_table_info('{table}') WHERE pk > 0"
    return bool(connection.execute(query).fetchone()[0] > 1)


def without_rowid(connection: sqlite3.Connection, table: str) -> bool:
    query = "SELECT wr FROM pragma_table_list WHERE name = ?"
    return bool(connection.execute(query, (table,)).fetchone()[0])


@pytest.mark.parametrize("table", sorted(V57_COLUMNS))
def test_a_new_file_has_every_column_of_v57(fresh: Path, table: str) -> None:
    expected = sorted(" ".join(part.split()) for part in V57_COLUMNS[table].split(","))
    with opened(fresh) as connection:
        assert columns_of(connection, table) == expected


@pytest.mark.parametrize("name", sorted(V57_NAMED_INDEXES))
def test_a_new_file_has_the_named_indexes_of_v57(fresh: Path, name: str) -> None:
    with opened(fresh) as connection:
        query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?"
        sql = connection.execute(query, (name,)).fetchone()[0]
    parts = re.fullmatch(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+) \((.*?)\)( WHERE .*)?", sql)
    assert parts is not None
    unique, table, columns, partial = parts.groups()
    described = f"{unique or ''}{table}({columns}){'?' if partial else ''}"
    assert described == V57_NAMED_INDEXES[name]


def test_a_new_file_says_version_57_once_and_brings_the_four_rules_switched_off(
    fresh: Path,
) -> None:
    with opened(fresh) as connection:
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(57,)]
        rules = connection.execute("SELECT id, enabled FROM governance_rules ORDER BY id")
        assert rules.fetchall() == [("R001", 0), ("R002", 0), ("R003", 0), ("R004", 0)]


def test_migrating_again_changes_nothing(fresh: Path) -> None:
    before = fresh.read_bytes()
    status = schema.migrate(fresh, silent)
    assert status.current
    assert status.version == 57
    assert fresh.read_bytes() == before


def test_a_new_file_is_made_without_loading_the_migration_engine(tmp_path: Path) -> None:
    """A command on a new file would otherwise wait a second for imports."""
    code = (
        "import sys; from pathlib import Path; from app.store import schema;"
        f"schema.migrate(Path({str(tmp_path / 'new.db')!r}), print);"
        "print([m for m in ('alembic', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_two_processes_may_make_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "raced.db"
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(schema.migrate(path, silent)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status.current for status in found] == [True] * 4
    with opened(path) as connection:
        assert connection.execute("SELECT count(*) FROM schema_version").fetchone() == (1,)


# --- a v0.7.0 file ---------------------------------------------------------------------------


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with opened(path) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in V57_COLUMNS
        }


def test_a_v57_file_gets_our_tables_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    write_v57(path)
    before = rows_of(path)
    assert schema.inspect(path).kind is SchemaKind.V57_FOREIGN
    told: list[str] = []

    status = schema.migrate(path, told.append)

    assert status.current
    assert rows_of(path) == before
    assert told
    with opened(path) as connection:
        assert connection.execute("SELECT count(*) FROM memory_state").fetchone() == (0,)


def test_an_adopted_file_is_searched_with_our_analysis_and_its_index_follows_changes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.db"
    contents = write_v57(path)
    schema.migrate(path, silent)
    with opened(path) as connection:
        assert matches(connection, "run") == 30  # "Running", which v0.7.0's index would not find
        connection.execute("DELETE FROM memories WHERE id = ?", (contents.live[0],))
        assert matches(connection, "run") == 29
        assert_index_agrees(connection)


def test_a_failing_migration_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    write_v57(path)
    with opened(path) as connection:
        connection.execute("CREATE TABLE tombstones (mine TEXT)")  # in the way of ours

    with pytest.raises(StoreOpenError):
        schema.migrate(path, silent)

    assert schema.inspect(path).kind is SchemaKind.V57_FOREIGN
    with opened(path) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "memories_ai" in names
    assert "memory_state" not in names


def test_a_file_that_stopped_on_a_lower_rung_climbs_the_rest(tmp_path: Path, fresh: Path) -> None:
    path = tmp_path / "lower.db"
    with opened(path) as connection:
        for revision in REVISIONS[:2]:
            for statement in script(revision, "sqlite"):
                connection.execute(statement)
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (REVISIONS[1],))
    assert schema.inspect(path).kind is SchemaKind.OURS
    assert not schema.inspect(path).current

    assert schema.migrate(path, silent).revision == HEAD_REVISION


# --- files that are refused ------------------------------------------------------------------


def with_version(path: Path, version: int) -> None:
    write_v57(path)
    with opened(path) as connection:
        connection.execute("UPDATE schema_version SET version = ?", (version,))
        connection.execute("PRAGMA journal_mode = DELETE")


def text_file(path: Path) -> None:
    path.write_text("no database at all, but long enough to have a header\n" * 10)


def other_program(path: Path) -> None:
    with opened(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")


def newer_revision(path: Path) -> None:
    schema.migrate(path, silent)
    with opened(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999_later'")


def cut_short(path: Path) -> None:
    schema.migrate(path, silent)
    path.write_bytes(path.read_bytes()[:-8192])


def first_page_overwritten(path: Path) -> None:
    schema.migrate(path, silent)
    data = bytearray(path.read_bytes())
    data[100:4096] = b"\xa5" * 3996
    path.write_bytes(data)


def table_missing(path: Path) -> None:
    schema.migrate(path, silent)
    with opened(path) as connection:
        connection.execute("DROP TABLE log_entries")


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (lambda path: with_version(path, 54), SchemaKind.OLDER, "version 54"),
        (lambda path: with_version(path, 58), SchemaKind.NEWER, "version 58"),
        (newer_revision, SchemaKind.NEWER, "0999_later"),
        (text_file, SchemaKind.NOT_A_DATABASE, "not an SQLite database"),
        (other_program, SchemaKind.NOT_A_DATABASE, "another program"),
        (cut_short, SchemaKind.DAMAGED, "cut short by 8192 bytes"),
        (first_page_overwritten, SchemaKind.DAMAGED, "damaged"),
        (table_missing, SchemaKind.DAMAGED, "log_entries"),
    ],
)
def test_a_file_we_cannot_use_is_refused_by_name_and_left_alone(
    tmp_path: Path, spoil, kind: SchemaKind, said: str
) -> None:
    path = tmp_path / "spoilt.db"
    spoil(path)
    before = path.read_bytes()

    assert schema.inspect(path).kind is kind
    with pytest.raises(StoreOpenError, match=re.escape(said)) as refused:
        schema.migrate(path, silent)

    assert refused.value.details["reason"] == kind.value
    assert path.read_bytes() == before


@pytest.mark.parametrize("make", [Path.touch, lambda _: None])
def test_a_missing_or_empty_file_is_empty(tmp_path: Path, make) -> None:
    path = tmp_path / "nothing.db"
    make(path)
    assert schema.inspect(path).kind is SchemaKind.EMPTY


def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError) as refused:
        schema.migrate(tmp_path, silent)
    assert refused.value.details["reason"] == "unopenable"


def test_a_file_that_another_process_holds_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "held.db"
    write_v57(path)
    monkeypatch.setattr(schema, "_BUSY_SECONDS", 0.0)
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailableError) as refused:
            schema.migrate(path, silent)
    assert refused.value.details["retry_after_seconds"] == 5


def test_a_full_disk_is_told_from_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "full.db"
    with opened(path) as connection:
        connection.execute("CREATE TABLE junk (x)")
        connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("INSERT INTO junk VALUES (zeroblob(100000))")
    assert isinstance(schema._translated(full.value, path), StoreFullError)


# --- after a crash ---------------------------------------------------------------------------


def crash_amid(path: Path, *statements: str) -> None:
    """Write so much in one transaction that pages reach the file, and die before the commit."""
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 5'); c.execute('BEGIN IMMEDIATE')\n"
        "for s in sys.argv[2:]: c.execute(s)\n"
        "for _ in range(200): c.execute('INSERT INTO junk VALUES (zeroblob(4000))')\n"
        "os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path), *statements], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0


def test_a_file_whose_making_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    crash_amid(path, "CREATE TABLE junk (x)")
    assert path.stat().st_size > 0

    assert schema.migrate(path, silent).current


def test_a_migration_that_was_cut_off_runs_again(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    write_v57(path)
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    before = rows_of(path)
    crash_amid(path, "DELETE FROM memories", "CREATE TABLE junk (x)")

    assert schema.migrate(path, silent).current
    assert rows_of(path) == before


def test_what_a_crash_left_in_the_write_ahead_log_counts(tmp_path: Path) -> None:
    path = tmp_path / "crashed.db"
    origin = tmp_path / "origin.db"
    schema.migrate(origin, silent)
    with opened(origin) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE schema_version SET version = 58")
        for suffix in ("", "-wal"):
            copied = origin.with_name(origin.name + suffix).read_bytes()
            path.with_name(path.name + suffix).write_bytes(copied)

    assert schema.inspect(path).version == 58

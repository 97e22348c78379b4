"""The migrations: one ladder, both databases stated on every rung, and the tables at its top."""

import ast
import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateIndex, CreateTable

from app.store import schema
from app.store.ladder import HEAD_REVISION, MIGRATIONS, REVISIONS, script
from app.store.tables import CURRENT_SCHEMA_VERSION, metadata

VERSION_FILES = sorted((MIGRATIONS / "versions").glob("*.py"))


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.set_main_option("path_separator", "os")
    return made


def engine(path: Path) -> Engine:
    return create_engine(f"sqlite:///{path}")


def objects(path: Path) -> dict[str, str]:
    """What the file declares, by name, without the differences of white space."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: plain(sql) for name, sql in rows}


def plain(sql: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\s*([(),])\s*", r"\1", sql)).strip()


def test_the_ladder_ends_in_the_declared_tables(tmp_path: Path) -> None:
    declared, climbed = tmp_path / "declared.db", tmp_path / "climbed.db"
    with engine(declared).begin() as connection:
        metadata.create_all(connection)
    with engine(climbed).begin() as connection:
        ladder = config()
        ladder.attributes["connection"] = connection
        command.upgrade(ladder, "head")

    made = objects(climbed)
    made.pop("alembic_version")
    assert made == objects(declared)


def test_the_short_way_for_a_new_file_ends_where_the_ladder_does(tmp_path: Path) -> None:
    short, climbed = tmp_path / "short.db", tmp_path / "climbed.db"
    schema.migrate(short, lambda _: None)
    with engine(climbed).begin() as connection:
        ladder = config()
        ladder.attributes["connection"] = connection
        command.upgrade(ladder, "head")

    assert objects(short) == objects(climbed)
    assert schema.inspect(climbed) == schema.inspect(short)


def test_the_list_of_revisions_is_what_alembic_finds() -> None:
    found = [each.revision for each in ScriptDirectory.from_config(config()).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS
    assert found[0] == HEAD_REVISION


def test_the_version_is_stated_alike() -> None:
    assert schema.SCHEMA_VERSION == CURRENT_SCHEMA_VERSION


@pytest.mark.parametrize("path", VERSION_FILES, ids=lambda path: path.stem)
def test_every_revision_states_both_databases_and_goes_forward_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    calls = [node for node in ast.walk(functions["upgrade"]) if isinstance(node, ast.Call)]
    stated = [
        {keyword.arg for keyword in call.keywords}
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "dispatch"
    ]
    assert stated == [{"sqlite", "postgresql"}]
    assert "downgrade" not in functions
    assert f'revision = "{path.stem}"' in path.read_text(encoding="utf-8")
    # Frozen: what a released rung does must not change when the tables do.
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "app.store.tables" not in imported


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_script_stands_beside_its_twin(revision: str) -> None:
    twins = [list(script(revision, dialect)) for dialect in ("sqlite", "postgresql")]
    assert any(twins)
    for dialect, statements in zip(("sqlite", "postgresql"), twins, strict=True):
        # A rung that needs nothing on a dialect says so there.
        text = (MIGRATIONS / "sql" / f"{revision}.{dialect}.sql").read_text(encoding="utf-8")
        assert statements or text.startswith("-- Nothing: ")


def test_the_postgresql_scripts_say_the_declared_tables() -> None:
    dialect = postgresql.dialect()
    declared = {
        plain(str(CreateTable(table).compile(dialect=dialect))) for table in metadata.sorted_tables
    }
    for table in metadata.sorted_tables:
        for index in table.indexes:
            text = plain(str(CreateIndex(index).compile(dialect=dialect)))
            if index._ddl_if is None or index._ddl_if.dialect == dialect.name:
                declared.add(text)
    stated: set[str] = set()
    for revision in REVISIONS:
        if revision == "0003_full_text":  # adds to a declared table what SQLite has in its own way
            continue
        for statement in map(plain, script(revision, "postgresql")):
            if statement.startswith(("CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE")):
                stated.add(statement)
            elif added := ADDED_COLUMN.fullmatch(statement):
                name, column, column_name = added.groups()
                stated = {with_column(name, column, column_name, one) for one in stated}
    assert stated == declared


ADDED_COLUMN = re.compile(r"ALTER TABLE (\w+) ADD COLUMN ((\w+) .+)")


def with_column(table: str, column: str, name: str, statement: str) -> str:
    """A table's statement as if it had the column from the start; only declared ones count."""
    is_meant = statement.startswith(f"CREATE TABLE {table}(")
    if not is_meant or name not in metadata.tables[table].c:
        return statement
    return statement.replace(",PRIMARY KEY(", f",{column},PRIMARY KEY(")


def test_a_script_is_cut_at_statements_and_not_inside_triggers() -> None:
    statements = list(script("0003_full_text", "sqlite"))
    assert [statement.split()[1] for statement in statements] == ["VIRTUAL"] + ["TRIGGER"] * 3
    assert all(statement.endswith("END") for statement in statements[1:])

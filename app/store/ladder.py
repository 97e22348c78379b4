"""The migrations, as the SQL that each of them runs on each database.

A revision is one file in `migrations/versions/`; it names a step for SQLite and one for PostgreSQL,
mostly a script each in `migrations/sql/`. Scripts are frozen once released: they do not read
`tables`. SQLAlchemy is not imported here, because a command that only opens a file must start fast.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    Step = Callable[[Connection], None]

Dialect = Literal["sqlite", "postgresql"]

MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "migrations"

V57_REVISION: Final = "0001_v57"
"""What an untouched v0.7.0 database of version 57 has already."""

REVISIONS: Final = (
    V57_REVISION,
    "0002_node",
    "0003_full_text",
    "0004_shared_schema",
    "0005_search",
    "0006_graph",
    "0007_mesh",
)
HEAD_REVISION: Final = REVISIONS[-1]


def script(revision: str, dialect: Dialect) -> Iterator[str]:
    """The statements of a revision's script, one by one."""
    text = (MIGRATIONS / "sql" / f"{revision}.{dialect}.sql").read_text(encoding="utf-8")
    statement = ""
    for line in text.splitlines(keepends=True):
        if not statement and (line.isspace() or line.startswith("--")):
            continue
        statement += line
        # SQLite's own lexer knows quotes and trigger bodies; our PostgreSQL scripts keep to what it
        # reads alike (no dollar quotes).
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement.strip().removesuffix(";")
            statement = ""
    assert not statement, f"{revision}.{dialect}: unfinished statement"


def run_script(revision: str, dialect: Dialect) -> Step:
    """A step that runs the revision's script for this dialect."""

    def step(connection: Connection) -> None:
        for statement in script(revision, dialect):
            connection.exec_driver_sql(statement)

    return step


def dispatch(connection: Connection, *, sqlite: Step, postgresql: Step) -> None:
    """Run the step of the database at hand. Every revision must state both."""
    steps: dict[str, Step] = {"sqlite": sqlite, "postgresql": postgresql}
    steps[connection.dialect.name](connection)

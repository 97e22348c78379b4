"""Selects that are kept: asked again with other values, they answer for those."""

import apsw
import pytest
from sqlalchemy import Text, select
from sqlalchemy.dialects import sqlite

from app.store.sql.filters import MemoryFilter, Viewer, conditions
from app.store.sql.known import Known, KnownSelects, asked, value
from app.store.tables import memories

ONE = Known(
    lambda chosen: select(memories.c.id).where(
        memories.c.title == value("title", Text), conditions(chosen)
    )
)


@pytest.fixture
def connection() -> apsw.Connection:
    made = apsw.Connection(":memory:")
    made.execute(
        "CREATE TABLE memories"
        " (id, title, namespace, expires_at, scope_idx, agent_id_idx, metadata)"
    )
    for row in (
        ("1", "a", "x", "2026-01-02", "collective", "alice", "{}"),
        ("2", "a", "y", None, "collective", "alice", "{}"),
        ("3", "b", "x", None, "collective", "alice", "{}"),
        ("4", "a", "x", None, "private", "alice", "{}"),
    ):
        made.execute("INSERT INTO memories VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    return made


def ids(connection: apsw.Connection, known: KnownSelects, chosen: MemoryFilter, title: str) -> str:
    prepared = known.prepared(ONE, chosen)
    values = prepared.parameters(asked(chosen, {"title": title}))
    return "".join(sorted(str(one) for (one,) in connection.execute(prepared.text, values)))


def test_time_and_values_are_those_of_the_question(connection: apsw.Connection) -> None:
    known = KnownSelects(sqlite.dialect(paramstyle="qmark"))
    early, late = MemoryFilter(now="2026-01-01"), MemoryFilter(now="2026-01-03")
    assert ids(connection, known, early, "a") == "124"
    assert ids(connection, known, late, "a") == "24"
    assert ids(connection, known, early, "a") == "124"
    assert ids(connection, known, early, "b") == "3"


def test_filters_are_told_apart_and_lists_are_taken_too(connection: apsw.Connection) -> None:
    known = KnownSelects(sqlite.dialect(paramstyle="qmark"))
    bob = MemoryFilter(now="2026-01-01", viewer=Viewer("bob"))
    alice = MemoryFilter(now="2026-01-01", viewer=Viewer("alice"))
    assert ids(connection, known, bob, "a") == "12"
    assert ids(connection, known, alice, "a") == "124"
    listed = MemoryFilter(now="2026-01-01", viewer=Viewer("bob"), namespaces=["x", "z"])
    assert ids(connection, known, listed, "a") == "1"
    assert ids(connection, known, listed, "b") == "3"
    both = MemoryFilter(now="2026-01-01", viewer=Viewer("bob"), namespaces=("x", "y"))
    assert ids(connection, known, both, "a") == "12"

"""What the triggers and generated columns of a new file do."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from app.store import schema
from tests.contract.schema_files import assert_index_agrees, matches, opened, silent


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    path = tmp_path / "fresh.db"
    schema.migrate(path, silent)
    return path


def insert(connection: sqlite3.Connection, name: str, **values: object) -> None:
    row = {
        "id": name, "tier": "long", "title": name, "content": "text",
        "created_at": "2026-06-01T00:00:00.000000+00:00",
        "updated_at": "2026-06-01T00:00:00.000000+00:00",
    } | values  # fmt: skip
    marks = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT INTO memories ({', '.join(row)}) VALUES ({marks})", (*row.values(),)
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tier", "eternal"),
        ("priority", 0),
        ("priority", 11),
        ("confidence", -0.1),
        ("confidence", 1.1),
    ],
)
def test_a_memory_outside_its_bounds_is_refused_on_insert_and_update(
    fresh: Path, column: str, value: object
) -> None:
    with opened(fresh) as connection:
        with pytest.raises(sqlite3.IntegrityError, match=column):
            insert(connection, "bad", **{column: value})
        insert(connection, "good")
        with pytest.raises(sqlite3.IntegrityError, match=column):
            connection.execute(f"UPDATE memories SET {column} = ?", (value,))


@pytest.mark.parametrize(
    ("level", "signature", "accepted"),
    [
        (None, None, True),
        ("unsigned", None, True),
        ("self_signed", bytes(64), True),
        ("peer_attested", bytes(64), True),
        ("self_signed", None, False),
        ("peer_attested", bytes(63), False),
        ("notarised", bytes(64), False),
    ],
)
def test_a_link_is_attested_only_with_a_whole_signature(
    fresh: Path, level: str | None, signature: bytes | None, accepted: bool
) -> None:
    add = "INSERT INTO memory_links (source_id, target_id, created_at) VALUES ('a', 'b', 'now')"
    attest = "UPDATE memory_links SET attest_level = ?, signature = ?"
    with opened(fresh) as connection:
        connection.execute(add)
        refusal = contextlib.nullcontext() if accepted else pytest.raises(sqlite3.IntegrityError)
        with refusal:
            connection.execute(attest, (level, signature))
        stored = connection.execute("SELECT attest_level FROM memory_links").fetchone()
    assert stored == (level if accepted else None,)


def test_a_link_may_stand_before_its_ends_are_there(fresh: Path) -> None:
    """Entries arrive in any order; a link without its ends waits and is not shown."""
    with opened(fresh) as connection:
        connection.execute(
            "INSERT INTO memory_links (source_id, target_id, created_at) VALUES ('x', 'y', 'now')"
        )


def test_the_text_index_follows_insert_upsert_and_delete(fresh: Path) -> None:
    with opened(fresh) as connection:
        insert(connection, "one", content="Crème brûlée recipes", tags='["dessert"]')
        assert matches(connection, "creme AND recipe AND dessert") == 1

        upsert = (
            "INSERT INTO memories (id, tier, title, content, created_at, updated_at)"
            " VALUES ('one', 'long', 'one', 'Custard', 'now', 'now')"
            " ON CONFLICT (id) DO UPDATE SET title = excluded.title, content = excluded.content"
        )
        connection.execute(upsert)
        assert (matches(connection, "brulee"), matches(connection, "custards")) == (0, 1)

        connection.execute("UPDATE memories SET access_count = 7, content = content")
        assert_index_agrees(connection)
        connection.execute("DELETE FROM memories")
        assert matches(connection, "custard") == 0
        assert_index_agrees(connection)


def test_scope_and_agent_are_read_from_the_metadata(fresh: Path) -> None:
    with opened(fresh) as connection:
        insert(connection, "plain")
        insert(connection, "team", metadata='{"scope": "team", "agent_id": "ada"}')
        rows = connection.execute("SELECT id, scope_idx, agent_id_idx FROM memories ORDER BY id")
        assert rows.fetchall() == [("plain", "private", None), ("team", "team", "ada")]

"""A v0.7.0 database that is being taken over when the node dies: nothing of it is lost."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typing_extensions import override

from app.store.registry import StoreOptions, open_store
from app.store.sqlite.adapter import Sources
from tests.contract.store.conftest import RealDisk, SeededRandomness, TurnedClock
from tests.faults.conftest import MakeNode
from tests.faults.stores import faults_of
from tests.faults.waiting import wait_for
from tests.fixtures.v57 import write_v57

ROWS = 1_000
Rows = dict[str, str]


def write_large_v57(path: Path) -> Rows:
    """A v0.7.0 file with many rows; returns id → content of all that it holds."""
    write_v57(path, now=datetime.now(UTC))
    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(memories)")]
        names = ", ".join(columns)
        values = ", ".join(
            {"id": "printf('%s-%d', id, n)", "title": "printf('%s %d', title, n)"}.get(one, one)
            for one in columns
        )
        # Copies of one plain row: its expiry is none, so that nothing is collected meanwhile.
        connection.execute(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"
            f" WHERE n < {ROWS}) INSERT INTO memories ({names}) SELECT {values} FROM numbers,"
            " (SELECT * FROM memories WHERE expires_at IS NULL ORDER BY id LIMIT 1)"
        )
        connection.commit()
    return rows_of(path)


def rows_of(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        return dict(
            connection.execute(
                "SELECT id, content FROM memories UNION ALL"
                " SELECT id, content FROM archived_memories"
            ).fetchall()
        )


MOMENTS: dict[str, Callable[[Path], bool]] = {
    # The copy may be done between two looks.
    "while-the-copy-is-made": lambda db: any(db.parent.glob("*.v070-backup*")),
    "after-the-copy": lambda db: db.with_name(f"{db.name}.v070-backup").exists(),
    "while-rows-are-written": lambda db: size(db.with_name(f"{db.name}-wal")) > 1 << 18,
    "when-it-has-a-name": lambda db: db.with_name(f"{db.name}.node").exists(),
}


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_node_killed_while_it_takes_a_database_over_can_do_it_again(
    make_node: MakeNode, moment: str
):
    node = make_node()
    node.folder.mkdir()
    before = write_large_v57(node.db)
    reached = MOMENTS[moment]
    node.launch()
    wait_for(lambda: reached(node.db) or node.wait(0) is not None, moment)
    node.kill()
    node.start()
    assert node.stop() == 0
    assert rows_of(node.db) == before
    assert faults_of(node.db) == []
    assert rows_of(node.db.with_name(f"{node.db.name}.v070-backup")) == before


class CountedDisk(RealDisk):
    """Remembers the size of each file at its flush."""

    def __init__(self) -> None:
        self.flushed: list[int] = []

    @override
    def file(self, descriptor: int) -> None:
        super().file(descriptor)
        self.flushed.append(Path(f"/proc/self/fd/{descriptor}").stat().st_size)


async def test_the_copy_of_a_database_is_flushed_before_its_first_change(tmp_path: Path):
    path = tmp_path / "node.db"
    write_v57(path)
    disk = CountedDisk()
    options = StoreOptions(path, mmap_bytes=0, model=None, dim=0, index_texts=True)
    sources = Sources(TurnedClock(), SeededRandomness(1), disk)
    store = open_store(options, sources, lambda _what, _done, _total: None)
    await store.close()
    assert disk.flushed[0] == path.with_name("node.db.v070-backup").stat().st_size

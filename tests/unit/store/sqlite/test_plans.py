"""Statements of the recall and write paths must not walk a table: each names the rows it wants."""

from pathlib import Path

import apsw
import pytest

from app.store.schema import migrate
from app.store.sqlite.titles import TITLED
from app.store.sqlite.vector_search import NEWER_VECTORS, VECTORS_OF


@pytest.mark.parametrize(
    ("statement", "values", "wanted"),
    [
        (NEWER_VECTORS, (1, "m", 3), "SEARCH memory_vectors USING INTEGER PRIMARY KEY (rowid>?)"),
        (VECTORS_OF, ('["a"]', "m"), "SEARCH v USING INDEX sqlite_autoindex_memory_vectors_1"),
        (TITLED, ("x", "ns", "now", 0, "me"), "SEARCH memories USING INTEGER PRIMARY KEY"),
    ],
)
def test_a_hot_statement_goes_straight_to_its_rows(
    tmp_path: Path, statement: str, values: tuple[object, ...], wanted: str
):
    path = tmp_path / "empty.db"
    migrate(path, lambda _: None)
    connection = apsw.Connection(str(path))
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    connection.close()
    assert any(step.startswith(wanted) for step in plan), plan

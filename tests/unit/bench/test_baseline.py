"""The ruler: what the raw store writes is what the node writes, or it measures nothing."""

import apsw
import pytest

from app.store.tables import metadata
from bench.baseline import template as node_rows
from bench.baseline.raw_writes import RawStore
from bench.baseline.rows import make_rows
from bench.measurement import MeasurementError

LENGTHS = {
    "memory_state": "length(state) + length(row_hash)",
    "log_entries": "length(header) + length(payload) + length(hash)",
    "name_claims": "length(stamp)",
    "text_duplicates": "length(text_hash)",
    "digest_buckets": "length(digest)",
    "memories": "length(content) + length(metadata) + length(created_at)",
}


def average_size(path, table):
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    ((found,),) = connection.execute(f"SELECT avg({LENGTHS[table]}) FROM {table}")
    connection.close()
    return found


@pytest.fixture
def learned(tmp_path):
    return node_rows.learn(tmp_path / "template")


def test_raw_rows_are_as_large_as_the_nodes(tmp_path, learned):
    raw = RawStore(tmp_path / "raw.db", learned)
    raw.commit(make_rows(2, seed=-1))
    raw.close()

    for table in LENGTHS:
        node = average_size(tmp_path / "template" / "template.db", table)
        # Ids and counters differ in digits, nothing else does.
        assert average_size(tmp_path / "raw.db", table) == pytest.approx(node, rel=0.02), table


def test_raw_rows_fill_every_table_that_a_store_fills(tmp_path, learned):
    raw = RawStore(tmp_path / "raw.db", learned)
    raw.commit(make_rows(20, seed=1))
    raw.close()

    connection = apsw.Connection(str(tmp_path / "raw.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    filled = {
        name
        for name in metadata.tables
        if connection.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone()
    }
    ((found,),) = connection.execute("SELECT count(*) FROM memories_fts")
    connection.close()
    assert filled == node_rows.ROW_TABLES | node_rows.BATCH_TABLES
    assert found == 20


def test_a_node_that_writes_another_table_makes_the_ruler_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(node_rows, "ROW_TABLES", node_rows.ROW_TABLES - {"name_claims"})

    with pytest.raises(MeasurementError, match="name_claims"):
        node_rows.learn(tmp_path / "template")

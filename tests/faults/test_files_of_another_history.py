"""Files that were copied, set back or mixed up: a node never numbers on where a twin did, and
never answers from a cache of something else."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.domain.timestamps import format_instant
from app.log.epochs import EpochReason
from app.store import schema
from app.store.sql.filters import MemoryFilter
from app.store.sqlite.connection import FileOptions
from app.store.sqlite.identity import sidecar_path
from app.store.sqlite.ownership import lock_path, take
from tests.contract.store import conftest as commands
from tests.faults.stores import faults_of, open_store
from tests.faults.workload import vector_of

EVERYTHING = MemoryFilter(now=format_instant(commands.START))
EAST, NORTH = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)


async def write_one(path: Path, memory_id: str, vector: tuple[float, ...], seed: int) -> str:
    """Store a memory with a vector, close; returns the origin that wrote it."""
    schema.migrate(path, lambda _: None)
    store = open_store(FileOptions(path), seed)
    await store.submit(commands.Put(commands.memory(memory_id)))
    await store.submit(vector_of(memory_id, vector))
    while not (await store.status()).vectors:
        pass  # until then its index is not worth saving; each look waits for a reader's thread
    await store.close()
    assert path.with_name(path.name + ".vectors").exists()
    return store.identity.origin


async def test_a_copy_without_its_sidecar_writes_under_a_new_identity(tmp_path: Path):
    original = tmp_path / "original.db"
    origin = await write_one(original, "m1", EAST, seed=1)
    copy = tmp_path / "copy.db"
    shutil.copyfile(original, copy)
    twin = open_store(FileOptions(copy), seed=2)
    receipt = await twin.submit(commands.Put(commands.memory("m2")))
    await twin.close()
    assert twin.identity.reason is EpochReason.SIDECAR_MISSING
    assert twin.identity.node_id != origin.partition(".")[0]
    assert (receipt.origin, receipt.seq) == (twin.identity.origin, 1)
    assert faults_of(copy) == []


async def test_a_file_set_back_to_an_older_state_starts_a_new_epoch(tmp_path: Path):
    path, older = tmp_path / "node.db", tmp_path / "older.db"
    origin = await write_one(path, "m1", EAST, seed=1)
    shutil.copyfile(path, older)
    await write_one(path, "m2", NORTH, seed=2)
    shutil.copyfile(older, path)
    store = open_store(FileOptions(path), seed=3)
    receipt = await store.submit(commands.Put(commands.memory("m3")))
    await store.close()
    node_id, _, epoch = store.identity.origin.partition(".")
    assert store.identity.reason is EpochReason.BOOT_TOKEN
    assert (node_id, int(epoch)) == (origin.partition(".")[0], int(origin.partition(".")[2]) + 1)
    assert receipt.seq == 1
    assert faults_of(path) == []


async def test_a_damaged_sidecar_costs_the_identity_and_nothing_else(tmp_path: Path):
    path = tmp_path / "node.db"
    await write_one(path, "m1", EAST, seed=1)
    sidecar_path(path).write_bytes(b"\x00\xff{")
    store = open_store(FileOptions(path), seed=2)
    found = await store.get("m1", EVERYTHING)
    await store.close()
    assert store.identity.reason is EpochReason.SIDECAR_MISSING
    assert found is not None


@pytest.mark.parametrize("as_before", [True, False], ids=["same-node", "other-node"])
async def test_vectors_saved_beside_another_history_are_never_answered_from(
    tmp_path: Path, as_before: bool
):
    """The row numbers in the index's file are the same, the vectors behind them are not."""
    path, other = tmp_path / "node.db", tmp_path / "other.db"
    if as_before:
        schema.migrate(path, lambda _: None)
        await open_store(FileOptions(path), seed=9).close()
        shutil.copyfile(path, other)  # from here on two histories of one node
    await write_one(path, "east", EAST, seed=1)
    await write_one(other, "north", NORTH, seed=2)
    shutil.copyfile(other, path)
    store = open_store(FileOptions(path), seed=3)
    hits = await store.search_vector(np.asarray(NORTH, np.float32).tolist(), EVERYTHING, 5)
    await store.close()
    assert [(hit.id, round(hit.score, 3)) for hit in hits] == [("north", 1.0)]


async def test_a_stale_lock_file_of_a_dead_process_stops_nobody(tmp_path: Path):
    path = tmp_path / "node.db"
    lock_path(path).write_text('{"pid": 1, "role": "serve", "socket": "/nowhere"}\n')
    lock = take(path)
    lock.release()

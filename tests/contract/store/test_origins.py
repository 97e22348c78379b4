"""What a store promises about a new epoch at run time: no number is used twice, nothing is lost."""

import asyncio
import shutil
from pathlib import Path

import pytest

from app.log.entry import GENESIS_HASH
from app.log.epochs import EpochReason, parse_origin
from app.store.protocol import Receipt
from tests.contract.store.conftest import (
    PostgresStores,
    Put,
    SqliteStores,
    Stores,
    TestedStore,
    TurnedClock,
    memory,
    purge,
)
from tests.contract.store.test_foreign import pull, rows

WHOLE = 1 << 20


async def is_sound(store: TestedStore) -> bool:
    return (await store.scrub(lambda _done, _total: None)).is_sound


async def test_a_renewed_origin_is_a_new_epoch_of_the_same_node(store: TestedStore):
    await store.submit(Put(memory("m1")))
    before = store.identity
    origin = await store.renew_origin(EpochReason.FORK, {before.node_id: 7, "ff" * 8: 99})
    assert origin == f"{before.node_id}.8"
    assert (store.identity.origin, store.identity.reason) == (origin, EpochReason.FORK)
    receipt = await store.submit(Put(memory("m2")))
    assert (receipt.origin, receipt.seq) == (origin, 1)
    assert {one.origin: (one.seq, one.is_self) for one in await store.heads()} == {
        before.origin: (1, False),
        origin: (1, True),
    }
    run = await store.log_run(origin, 0, WHOLE)
    assert run is not None
    assert [one.entity_ids for one in run.entries] == [("m2",)]
    assert run.after_hash == GENESIS_HASH
    assert await is_sound(store)


async def test_a_node_goes_on_with_its_renewed_origin_after_a_restart(stores: Stores):
    if isinstance(stores, PostgresStores):
        pytest.skip("without a file a node of a shared schema takes any row that is free")
    store = stores.open()
    await store.submit(Put(memory("m1")))
    origin = await store.renew_origin(EpochReason.PEER_AHEAD, {})
    await store.submit(Put(memory("m2")))
    await stores.close(store)
    again = stores.open()
    assert (again.identity.origin, again.identity.reason) == (origin, EpochReason.UNCHANGED)
    assert (await again.submit(Put(memory("m3")))).seq == 2
    assert await is_sound(again)


async def test_writes_around_a_renewal_go_to_one_origin_or_the_other(store: TestedStore):
    before = store.identity.origin
    answers = await asyncio.gather(
        *(store.submit(Put(memory(f"a{number}"))) for number in range(50)),
        store.renew_origin(EpochReason.FORK, {}),
        *(store.submit(Put(memory(f"b{number}"))) for number in range(50)),
    )
    after = store.identity.origin
    receipts = [one for one in answers if isinstance(one, Receipt)]
    assert [one.origin for one in receipts] == [before] * 50 + [after] * 50
    assert (await store.clock()).as_dict() == {before: 50, after: 50}
    assert await is_sound(store)


async def test_own_entries_that_a_restore_lost_come_back_from_a_peer(
    tmp_path: Path, clock: TurnedClock
):
    stores = SqliteStores(clock, folder=tmp_path, inline=False)
    left, right = stores.open("left"), stores.open("right")
    await left.submit_all([Put(memory("m1")), Put(memory("m2"))])
    await stores.close(left)
    for suffix in ("", ".node"):
        shutil.copy(tmp_path / f"left.db{suffix}", tmp_path / f"backup.db{suffix}")
    left = stores.open("left")
    lost = left.identity.origin
    await left.submit(Put(memory("m3")))
    await left.submit(purge("m1"))
    await pull(left, right)
    await stores.close(left)
    # The whole folder is set back, the sidecar too: nothing here shows that something is missing.
    for suffix in ("", ".node"):
        shutil.copy(tmp_path / f"backup.db{suffix}", tmp_path / f"left.db{suffix}")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"left.db{suffix}").unlink(missing_ok=True)
    left = stores.open("left")
    assert left.identity.origin == lost
    theirs = await right.clock()
    assert theirs[lost] > (await left.clock())[lost]
    renewed = await left.renew_origin(EpochReason.PEER_AHEAD, {left.identity.node_id: 1})
    assert parse_origin(renewed) == (left.identity.node_id, 2)
    await left.submit(Put(memory("m4")))
    await pull(right, left)
    await pull(left, right)
    assert await left.digests() == await right.digests()
    assert [one.id for one in await rows(left)] == ["m2", "m3", "m4"]
    assert await rows(left) == await rows(right)
    for store in (left, right):
        assert await is_sound(store)
    await stores.close_all()


async def test_a_renewal_that_cannot_be_made_durable_changes_nothing(
    tmp_path: Path, clock: TurnedClock
):
    stores = SqliteStores(clock, folder=tmp_path, inline=False)
    store = stores.open()
    await store.submit(Put(memory("m1")))
    before = store.identity.origin
    (tmp_path / "a.db.node.new").mkdir()  # where the sidecar is written before it is renamed
    with pytest.raises(OSError, match="directory"):
        await store.renew_origin(EpochReason.FORK, {})
    receipt = await store.submit(Put(memory("m2")))
    assert (receipt.origin, receipt.seq) == (before, 2)
    (tmp_path / "a.db.node.new").rmdir()
    assert await store.renew_origin(EpochReason.FORK, {}) != before
    await stores.close_all()

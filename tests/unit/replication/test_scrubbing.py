"""What is changed behind the node's back is found, alarmed and put right (weakness W17)."""

import asyncio
import logging

import pytest

from app.domain.errors import AdminRequiredError, FeatureMissingError
from app.observability.metrics import Metrics
from app.replication.scrubbing import SCRUB_SECONDS
from app.services.caller import Caller
from app.services.federation import FederationService
from tests.unit.replication.cluster import Cluster, Node, settle
from tests.unit.replication.test_comparing import equal, sql
from tests.unit.replication.virtual_time import virtual


async def sound(node: Node) -> bool:
    return (await node.store.scrub(lambda _done, _total: None)).is_sound


FLIPS = [
    "content = 'forged'",
    "title = 'forged'",
    "namespace = 'forged'",
    "tier = 'short'",
    "priority = 1",
]


@pytest.mark.parametrize("flip", FLIPS)
@virtual
async def test_w17_a_row_flipped_by_sql_shows_its_state_again(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, flip: str
):
    a, b = await cluster.full("ab")
    await a.write_many(10)
    await cluster.converge()
    before = await b.shown("a-4")
    sql(b, f"UPDATE memories SET {flip} WHERE id = 'a-4'")
    assert await b.shown("a-4") != before
    await b.running.scrubbing.scrub()
    assert await b.shown("a-4") == before
    assert any("damaged" in one.getMessage() for one in caplog.records if one.levelno >= 40)
    scrubbed = (await b.running.status()).scrubbed
    assert (scrubbed.scrubs, scrubbed.damaged, scrubbed.mended) == (1, 1, 1)
    assert await sound(b)
    assert await equal(a, b)


@virtual
async def test_a_state_that_fails_its_hash_comes_from_a_peer(cluster: Cluster):
    a, b, c = await cluster.full("abc")
    await a.write_many(10)
    await b.write()
    await cluster.converge()
    await settle(6)
    before = await b.shown("a-4")
    sql(b, "UPDATE memory_state SET state = x'00' WHERE id = 'a-4'")
    sql(b, "UPDATE memories SET title = 'forged' WHERE id = 'a-4'")
    await b.running.scrubbing.scrub()
    assert await b.shown("a-4") == before
    assert await sound(b)
    assert await equal(a, b, c)


@virtual
async def test_a_lost_state_is_not_taken_from_a_peer_that_knows_less(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    a, b = await cluster.full("ab")
    await a.write()
    await cluster.converge()
    await settle(6)
    cluster.network.part(["a"], ["b"])
    await b.write()
    sql(b, "UPDATE memory_state SET state = x'00' WHERE id = 'b-1'")
    await b.running.scrubbing.scrub()
    assert (await b.running.status()).scrubbed.mended == 0
    assert "0 damaged rows are mended, 1 are not" in caplog.text


@virtual
async def test_a_sound_store_is_scrubbed_daily_without_an_alarm(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    (a,) = await cluster.full("a")
    await a.write()
    await settle(SCRUB_SECONDS + 1)
    assert (await a.running.status()).scrubbed.scrubs == 1
    assert "the store is sound: 1 rows" in caplog.text


@virtual
async def test_an_operator_need_not_wait_for_the_daily_scrub(cluster: Cluster):
    a, b = await cluster.full("ab")
    await a.write_many(10)
    await cluster.converge()
    service = FederationService(b.store, Metrics())
    admin = Caller("operator", is_admin=True)
    with pytest.raises(FeatureMissingError):
        service.scrub(admin)
    met = asyncio.get_running_loop().create_future()
    met.set_result(None)
    service.join(b.running, met)  # type: ignore[arg-type] # a task that is done
    with pytest.raises(AdminRequiredError):
        service.scrub(Caller("alice"))
    before = await b.shown("a-4")
    sql(b, "UPDATE memories SET content = 'forged' WHERE id = 'a-4'")
    service.scrub(admin)
    await settle(1)
    assert await b.shown("a-4") == before
    scrubbed = (await b.running.status()).scrubbed
    assert (scrubbed.scrubs, scrubbed.damaged, scrubbed.mended) == (1, 1, 1)

"""What a moved store is: the same, in every table, on the other database and back again."""

import time
from pathlib import Path
from random import Random

import pytest

from app.bootstrap.moving import Address, PostgresAddress, SqliteAddress, move, plan
from app.domain.errors import ConflictError, InvalidInputError, StoreOpenError
from app.log.epochs import parse_origin
from app.store.moving.tables import COPIED, DIGESTS, ORIGINS, OWN, SHOWN, STATES
from app.store.protocol import Receipt
from app.store.sql.filters import MemoryFilter
from app.store.tables import metadata
from tests.contract.store.conftest import Put, memory
from tests.contract.store.moving import PEER, Places, dump, fill, put_a_row_into_each, tables
from tests.postgres.fixtures import Databases
from tools.postgres.server import Server

ROUTES = [
    ("sqlite", "postgres", "sqlite"),
    ("postgres", "sqlite", "postgres"),
    ("sqlite", "sqlite", "postgres"),
    ("postgres", "postgres", "sqlite"),
]
ROWS_A_SECOND_MIN = 10_000 / 60


def quiet(_what: str, _done: int, _total: int) -> None:
    pass


def conninfo(address: Address) -> str:
    assert isinstance(address, PostgresAddress)
    return " ".join(f"{name}={value}" for name, value in address.options.url.parameters.items())


@pytest.fixture
def places(tmp_path: Path, postgres_server: Server, postgres_databases: Databases) -> Places:
    return Places(tmp_path, lambda: postgres_server.url(postgres_databases.create()))


def test_every_table_has_one_part_in_a_move():
    named = [one.name for one in (*STATES, *SHOWN, *COPIED, ORIGINS, *DIGESTS, *OWN)]
    assert len(named) == len(set(named))
    assert set(named) == set(metadata.tables)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("route", ROUTES, ids="-".join)
async def test_a_store_is_the_same_on_every_database_that_it_moves_through(
    places: Places, route: tuple[str, ...], seed: int
):
    chance = Random(seed)
    source = places.new(route[0])
    async with places.opened(source) as store:
        await fill(store, places.clock, chance)
        origin = store.identity.origin
    before = dump(source)
    assert {"memories", "archived_memories", "memory_links", "tombstones"} <= set(tables(before))
    assert {"log_quarantine", "memory_vectors", "subscriptions"} <= set(tables(before))
    for kind in route[1:]:
        target = places.new(kind)
        outcome = move(source, target, quiet, chance.choice([1, 7, 1_000]))
        assert outcome.differences == ()
        assert dump(target) == before
        assert dump(source) == before
        source = target
    async with places.opened(source) as store:
        assert store.identity.origin != origin
        assert (await store.scrub(lambda _done, _all: None)).is_sound
        receipt = await store.submit(Put(memory("after")))
        assert receipt.seq == 1
        assert {origin, PEER} <= set((await store.clock()).origins())
        numbers = [number for number, _ in await store.applied_after(0, 1_000)]
        assert numbers == sorted(set(numbers))
        hits = await store.search_text(
            "after", MemoryFilter(now=places.clock.text()), 5, every_term=True
        )
        assert "after" in {hit.id for hit in hits}


async def test_rows_of_every_table_come_through_both_databases(places: Places):
    source = places.new("sqlite")
    async with places.opened(source) as store:
        await store.submit(Put(memory("m1")))
    assert isinstance(source, SqliteAddress)
    put_a_row_into_each(source.path)
    before = dump(source)
    assert {table.name for table in COPIED} <= set(tables(before))
    address: Address = source
    for kind in ("postgres", "sqlite"):
        target = places.new(kind)
        assert move(address, target, quiet, 1_000).differences == ()
        assert dump(target) == before
        address = target


async def test_a_moved_store_never_writes_as_an_origin_that_it_brought(places: Places):
    source = places.new("sqlite")
    async with places.opened(source) as store:
        await store.submit(Put(memory("m1")))
        mine = parse_origin(store.identity.origin)
    assert mine is not None
    target = places.new("sqlite")
    move(source, target, quiet, 1_000)
    assert isinstance(source, SqliteAddress)
    assert isinstance(target, SqliteAddress)
    # The file that says who runs here comes from the old place, as when a folder is copied.
    sidecar = source.path.with_name(source.path.name + ".node").read_text()
    here = target.path.with_name(target.path.name + ".node")
    here.write_text(sidecar)
    async with places.opened(target) as store:
        now = parse_origin(store.identity.origin)
        assert now is not None
        assert now.epoch > mine.epoch


async def test_a_finished_move_run_again_finds_it_done(places: Places):
    source, target = places.new("sqlite"), places.new("postgres")
    async with places.opened(source) as store:
        await fill(store, places.clock, Random(1))
    first = move(source, target, quiet, 1_000)
    again = move(source, target, quiet, 1_000)
    assert (first.was_there, again.was_there) == (False, True)
    assert again.digest == first.digest


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_target_that_holds_other_data_is_refused_and_unchanged(places: Places, kind: str):
    source, target = places.new("sqlite"), places.new(kind)
    for address, title in ((source, "here"), (target, "there")):
        async with places.opened(address) as store:
            await store.submit(Put(memory(title)))
    before = dump(target)
    with pytest.raises(ConflictError, match="other data"):
        move(source, target, quiet, 1_000)
    assert dump(target) == before
    assert plan(source, target).occupied_by is not None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_an_empty_store_that_a_node_once_opened_is_a_target(places: Places, kind: str):
    source, target = places.new("sqlite"), places.new(kind)
    async with places.opened(source) as store:
        await fill(store, places.clock, Random(3))
    async with places.opened(target):
        pass
    assert plan(source, target).occupied_by is None
    assert move(source, target, quiet, 1_000).differences == ()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_store_that_a_node_uses_is_not_moved(places: Places, kind: str):
    source = places.new("postgres")
    async with places.opened(source) as store:
        await store.submit(Put(memory("m1")))
        with pytest.raises(StoreOpenError, match="in use by node") as caught:
            move(source, places.new(kind), quiet, 1_000)
        assert caught.value.details["reason"] == "owned"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_store_is_not_moved_onto_itself(places: Places, kind: str):
    source = places.new(kind)
    async with places.opened(source) as store:
        await store.submit(Put(memory("m1")))
    with pytest.raises(InvalidInputError, match="same store"):
        move(source, source, quiet, 1_000)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_where_there_is_no_store_nothing_moves(places: Places, kind: str):
    source, target = places.new(kind), places.new("sqlite")
    with pytest.raises(StoreOpenError, match="holds no store"):
        move(source, target, quiet, 1_000)
    assert isinstance(target, SqliteAddress)
    assert not target.path.exists()


class InterruptedMoveError(Exception):
    """Somebody pulled the plug."""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_an_interrupted_move_goes_on_unless_the_source_was_used_meanwhile(
    places: Places, kind: str
):
    source, target = places.new("sqlite"), places.new(kind)
    async with places.opened(source) as store:
        await fill(store, places.clock, Random(2))
    before = dump(source)

    def stop_at_half(what: str, done: int, total: int) -> None:
        if what == "moving" and done > total // 2:
            raise InterruptedMoveError

    with pytest.raises(InterruptedMoveError):
        move(source, target, stop_at_half, 7)
    other = places.new("sqlite")
    async with places.opened(other) as store:
        await store.submit(Put(memory("other")))
    with pytest.raises(ConflictError, match="another store"):
        move(other, target, quiet, 7)
    with pytest.raises(StoreOpenError, match="not finished") as caught:
        async with places.opened(target):
            pass
    assert caught.value.details["reason"] == "unfinished"
    assert plan(source, target).would_resume
    begun: list[int] = []

    def note(what: str, done: int, total: int) -> None:
        if what == "moving":
            begun.append(done * 2 - total)

    outcome = move(source, target, note, 7)
    assert outcome.was_resumed
    assert begun[0] > 0, "what was moved is not moved again"
    assert dump(target) == before

    again = places.new(kind)
    with pytest.raises(InterruptedMoveError):
        move(source, again, stop_at_half, 7)
    async with places.opened(source) as store:
        await store.submit(Put(memory("meanwhile")))
    with pytest.raises(ConflictError, match="in use after this move had begun"):
        move(source, again, quiet, 7)


async def test_a_target_that_was_changed_is_found_out_and_stays_closed(places: Places, ask):
    source, target = places.new("sqlite"), places.new("postgres")
    async with places.opened(source) as store:
        await fill(store, places.clock, Random(4))

    def stop_at_the_end(what: str, _done: int, _total: int) -> None:
        if what == "comparing":
            raise InterruptedMoveError

    with pytest.raises(InterruptedMoveError):
        move(source, target, stop_at_the_end, 1_000)
    address = conninfo(target)
    ask(address, "UPDATE log_entries SET hash = sha256(hash) WHERE seq = 3")
    ask(address, "UPDATE subscriptions SET url = 'https://example.org/other' WHERE id = 's1'")
    ask(address, "DELETE FROM memory_links")
    outcome = move(source, target, quiet, 1_000)
    said = "\n".join(outcome.differences)
    assert "memory_links" in said
    assert "log_entries" in said
    assert "subscriptions" in said
    assert "logs that do not hash to their end" in said
    with pytest.raises(StoreOpenError):
        async with places.opened(target):
            pass


async def test_a_schema_that_was_moved_into_has_every_index_of_a_new_one(places: Places, ask):
    source, target, fresh = places.new("sqlite"), places.new("postgres"), places.new("postgres")
    async with places.opened(source) as store:
        await fill(store, places.clock, Random(6))
    async with places.opened(fresh):
        pass
    move(source, target, quiet, 1_000)
    definitions = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    assert ask(conninfo(target), definitions) == ask(conninfo(fresh), definitions)


@pytest.mark.parametrize("route", [("sqlite", "postgres"), ("postgres", "sqlite")], ids="-".join)
async def test_ten_thousand_rows_move_within_a_minute(places: Places, route: tuple[str, str]):
    source, target = (places.new(kind) for kind in route)
    async with places.opened(source) as store:
        words = " ".join(f"word{number}" for number in range(60))
        answers = await store.submit_all(
            [Put(memory(f"m{number}", content=f"{words} {number}")) for number in range(10_000)]
        )
        assert all(isinstance(one, Receipt) for one in answers)
    begun = time.monotonic()
    outcome = move(source, target, quiet, 1_000)
    took = time.monotonic() - begun
    assert outcome.differences == ()
    assert 10_000 / took > ROWS_A_SECOND_MIN, f"{took:.1f} s"

"""A move that is killed outright, again and again, and gone on with each time."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import psycopg
import pytest

from app.bootstrap.moving import Address, SqliteAddress
from app.store.moving.record import place_of
from app.store.moving.tables import COPIED, STATES
from app.store.schema import UNFINISHED_MOVE
from tests.contract.store.moving import Places, dump, fill
from tests.faults.waiting import wait_for
from tests.integration.node import REPOSITORY, own_environment
from tests.postgres.fixtures import Databases
from tools.postgres.server import Server

ROWS = 300
SECONDS_MAX = 60.0
KILLS = (0.1, 0.4, 0.7, 0.9)
"""Shares of the rows at which a run is killed."""

_PLACE = f"SELECT place FROM {UNFINISHED_MOVE}"


@pytest.fixture
def places(tmp_path: Path, postgres_server: Server, postgres_databases: Databases) -> Places:
    return Places(tmp_path, lambda: postgres_server.url(postgres_databases.create()))


def written(address: Address) -> str:
    """The address as a command line takes it."""
    if isinstance(address, SqliteAddress):
        return str(address)
    return "postgresql://?" + "&".join(
        f"{name}={value}" for name, value in address.options.url.parameters.items()
    )


def start(folder: Path, source: Address, target: Address) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "app", "migrate", "--batch", "5"),
            *("--from", written(source), "--to", written(target)),
        ],
        cwd=REPOSITORY,
        env=own_environment(folder, {"PYTHONPATH": str(REPOSITORY)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def rows_moved(address: Address) -> Callable[[], int]:
    """Asks the target how far its move is; 0 before it has begun."""

    def ask() -> int:
        try:
            if isinstance(address, SqliteAddress):
                with closing(sqlite3.connect(f"file:{address.path}?mode=ro", uri=True)) as file:
                    (place,) = file.execute(_PLACE).fetchone()
            else:
                with closing(psycopg.connect(written(address), autocommit=True)) as postgres:
                    row = postgres.execute(_PLACE.encode()).fetchone()
                    assert row is not None
                    (place,) = row
        except (sqlite3.Error, psycopg.errors.UndefinedTable):
            return 0
        return place_of(place).rows

    return ask


def killed_at(process: subprocess.Popen[bytes], moved: Callable[[], int], rows: int) -> int:
    """Kill a run once it has moved so many rows; how many it had moved then."""
    wait_for(lambda: moved() >= rows or process.poll() is not None, "a page", SECONDS_MAX)
    process.kill()
    process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == -signal.SIGKILL
    return moved()


@pytest.mark.parametrize("route", [("sqlite", "postgres"), ("postgres", "sqlite")], ids="-".join)
async def test_a_move_killed_at_any_page_goes_on_and_ends_equal(
    places: Places, route: tuple[str, str], tmp_path: Path
):
    source, target = (places.new(kind) for kind in route)
    async with places.opened(source) as store:
        await fill(store, places.clock, Random(5), ROWS)
    before = dump(source)
    total = sum(len(before[table.name]) for table in (*STATES, *COPIED))
    moved = rows_moved(target)
    seen = [
        killed_at(start(tmp_path, source, target), moved, int(share * total)) for share in KILLS
    ]
    assert seen == sorted(seen)
    last = start(tmp_path, source, target)
    _, said = last.communicate(timeout=SECONDS_MAX)
    assert last.returncode == 0, said.decode()
    assert dump(target) == before
    assert dump(source) == before

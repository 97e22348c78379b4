"""Through a PgBouncer in transaction mode, where every transaction may meet another connection."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from app.store.postgres import schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.pool import Readers
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from tests.contract.store.conftest import Put, SeededRandomness, TurnedClock, memory
from tests.postgres.nodes import start_over
from tests.postgres.pairs import Pair
from tools.postgres.cluster import HOST, Cluster

SERVER_CONNECTIONS = 2
SETTINGS = """
[databases]
{database} = host={host} port={port} user=postgres password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 100
"""


class Pooler:
    """A running PgBouncer. `address` is without a database's name."""

    def __init__(self, server: Cluster, database: str, folder: Path) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "pgbouncer is needed: sh tools/system-packages.sh pgbouncer"
        with closing(socket.socket()) as probe:
            probe.bind((HOST, 0))
            self._port = probe.getsockname()[1]
        self.address = f"postgresql://postgres@{HOST}:{self._port}/{database}"
        self._database = database
        self._settings = server.folder / f"pooler-{self._port}.ini"
        self._settings.touch(mode=0o600)
        self._write(server)
        user = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # it refuses to run as root
        if user is not None:
            os.chown(self._settings, user.pw_uid, user.pw_gid)
        log = folder / "pgbouncer.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, str(self._settings)],
                stdout=output,
                stderr=output,
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else (),
            )
        await_answer(self.address, self._process, log)

    def lead_to(self, server: Cluster) -> None:
        """Another server, for clients that are connected, too."""
        self._write(server)
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _write(self, server: Cluster) -> None:
        self._settings.write_text(
            SETTINGS.format(
                database=self._database,
                host=HOST,
                port=server.port,
                password=server.passfile.read_text().strip().rpartition(":")[2],
                listen=self._port,
                connections=SERVER_CONNECTIONS,
            )
        )


@pytest.fixture
def pooled_address(postgres_cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The address of a database of its own, through a pooler with few connections to the server."""
    database = f"pooled_{tmp_path.name[:40]}".lower()
    postgres_cluster.execute(f"CREATE DATABASE {database}")
    pooler = Pooler(postgres_cluster, database, tmp_path)
    try:
        yield pooler.address
    finally:
        pooler.stop()
        postgres_cluster.execute(f"DROP DATABASE {database} WITH (FORCE)")


def await_answer(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(address, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def store(address: str, name: str) -> PostgresOptions:
    url = PostgresUrl.parse(f"{address}?options=-csearch_path%3D{name}")
    return PostgresOptions(url, most=8, statement_seconds=7, pooled=True)


async def test_two_stores_share_its_connections_and_never_meet(pooled_address: str) -> None:
    """What one transaction sets must not reach the next one, which may be another store's."""
    names = ("one", "other")
    readers = []
    for name in names:
        options = store(pooled_address, name)
        assert schema.migrate(options.url, lambda _: None).status.current
        with closing(connect(options)) as writer, transaction(writer, Preamble.writing(options)):
            writer.execute(
                "INSERT INTO memories (id, tier, title, content, created_at, updated_at)"
                " VALUES (%s, 'mid', 't', 'c', now(), now())",
                [name],
            )
        readers.append(Readers(options))

    def look(connection: psycopg.Connection) -> tuple[object, ...]:
        found = connection.execute("SELECT id FROM memories").fetchone()
        limit = connection.execute("SHOW statement_timeout").fetchone()
        assert found is not None
        assert limit is not None
        return found + limit

    try:
        seen = await asyncio.gather(*(reader.run(look) for _ in range(40) for reader in readers))
    finally:
        for reader in readers:
            reader.close()
    assert seen == [("one", "7s"), ("other", "7s")] * 40


def test_nodes_that_start_at_once_through_it_make_one_store(pooled_address: str) -> None:
    options = store(pooled_address, "shared")
    code = (
        "import sys; from app.store.postgres import schema; from app.store.postgres.url import"
        " PostgresUrl; schema.migrate(PostgresUrl.parse(sys.argv[1]), print)"
    )
    address = f"{pooled_address}?options=-csearch_path%3Dshared"
    command = [sys.executable, "-c", code, address]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0] * 4
    with closing(connect(options)) as opened:
        counted = opened.execute("SELECT count(*) FROM shared.governance_rules").fetchone()
    assert counted == (4,)


async def test_nodes_write_through_it(pooled_address: str) -> None:
    """Batches travel as pipelines, nothing is prepared, and leases need no session."""
    options = store(pooled_address, "shared")
    schema.migrate(options.url, lambda _: None)
    clock = TurnedClock()
    nodes = [
        PostgresStore(WriteOptions(options), clock, SeededRandomness(number)) for number in (1, 2)
    ]
    try:
        for step in range(12):
            await asyncio.gather(
                *(
                    node.submit(Put(memory(f"{name}-{step}", title=f"title {step}")))
                    for name, node in enumerate(nodes)
                )
            )
        assert set((await nodes[0].clock()).as_dict().values()) == {12}
        assert (await nodes[1].scrub(lambda _done, _total: None)).is_sound
    finally:
        for node in nodes:
            await node.close()


async def test_a_failover_behind_it_is_noticed_though_no_connection_is_lost(
    pair: Pair, tmp_path: Path
) -> None:
    """What was committed last on the former server may be missing on the new one."""
    pooler = Pooler(pair.primary, "postgres", tmp_path)
    try:
        options = PostgresOptions(PostgresUrl.parse(pooler.address), most=3, pooled=True)
        clock = TurnedClock()
        node = PostgresStore(WriteOptions(options), clock, SeededRandomness(1))
        before = await node.submit(Put(memory("m1")))
        pair.wait_for_replay()
        pair.fail_over()
        pooler.lead_to(pair.standby)
        after = await start_over(node, "m2")
        assert before.origin.endswith(".1")
        assert (after.origin, after.seq) == (f"{before.origin[:-1]}2", 1)
        assert (await node.scrub(lambda _done, _total: None)).is_sound
        await node.close()
    finally:
        pooler.stop()

"""A primary and a streaming standby of it, both of a test's own."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg
import pytest

from app.store.postgres import schema
from app.store.postgres.url import PostgresUrl
from tools.postgres.cluster import HOST, SUPERUSER, Cluster
from tools.postgres.programs import find_programs

DATABASE = "postgres"
PATIENCE_SECONDS = 20.0


@dataclass
class Pair:
    """Two servers. After `fail_over` the standby is the primary, and the other is gone."""

    primary: Cluster
    standby: Cluster

    @property
    def url(self) -> str:
        """Both, of which libpq takes the one that takes writes."""
        hosts = f"{HOST}:{self.primary.port},{HOST}:{self.standby.port}"
        return (
            f"postgresql://{SUPERUSER}@{hosts}/{DATABASE}"
            f"?target_session_attrs=read-write&passfile={self.primary.passfile}"
        )

    def fail_over(self) -> None:
        self.primary.halt()
        self.standby.promote()

    def wait_for_replay(self) -> None:
        """Until the standby shows what the primary has committed."""
        target = one(self.primary, "SELECT pg_current_wal_insert_lsn()")
        await_true(
            lambda: bool(one(self.standby, f"SELECT pg_last_wal_replay_lsn() >= '{target}'")),
            "the standby's replay",
        )

    def cut(self) -> None:
        """The standby receives no more of what the primary writes."""
        self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.execute("SELECT pg_reload_conf()")
        await_true(
            lambda: one(self.primary, "SELECT count(*) FROM pg_stat_replication") == 0,
            "the standby to let go",
        )


def one(cluster: Cluster, statement: str) -> object:
    """The first value of a statement's first row."""
    with closing(psycopg.connect(cluster.url(DATABASE), autocommit=True)) as connection:
        found = connection.execute(statement.encode()).fetchone()
    assert found is not None
    return found[0]


def await_true(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def halted_server() -> Iterator[Cluster]:
    """The files of a server with an empty store, for copies."""
    cluster = Cluster.create(find_programs(lambda _: None))
    try:
        cluster.start()
        schema.migrate(PostgresUrl.parse(cluster.url(DATABASE)), lambda _: None)
        cluster.execute("CHECKPOINT")
        cluster.halt()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def pair(halted_server: Cluster) -> Iterator[Pair]:
    """A standby that holds a store with the newest schema and streams; asynchronous."""
    primary = halted_server.copy()
    made = [primary]
    try:
        primary.start()
        standby = Cluster.standby_of(primary, "standby")
        made.append(standby)
        standby.start()
        yield Pair(primary, standby)
    finally:
        for cluster in made:
            cluster.stop()


@pytest.fixture
def synchronous_pair(pair: Pair) -> Pair:
    """The same; a commit is answered when the standby has it on its disk."""
    pair.primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    pair.primary.execute("SELECT pg_reload_conf()")
    await_true(
        lambda: one(pair.primary, "SELECT sync_state FROM pg_stat_replication") == "sync",
        "the standby to be synchronous",
    )
    return pair

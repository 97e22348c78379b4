"""A real server for every suite: one a session, and a database of its own for each test."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
import pytest

from app.store.postgres import schema
from app.store.postgres.url import PostgresUrl
from tools.postgres.cluster import Cluster
from tools.postgres.errors import NoPostgresError
from tools.postgres.obtain import obtain, own_cluster
from tools.postgres.server import Server

_numbers = count()


@dataclass
class Databases:
    """Makes databases on a server and drops them at the end."""

    server: Server
    made: list[str] = field(default_factory=list)

    def create(self, template: str = "template0") -> str:
        """The name of a new database."""
        # The server may be somebody's own, and two sessions may use it.
        name = f"ai_memory_test_{os.getpid()}_{next(_numbers)}"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self.made.append(name)
        return name

    def drop_all(self) -> None:
        for name in self.made:
            self.server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.made.clear()


@pytest.fixture(scope="session")
def postgres_progress(progress: Callable[[str], None]) -> Callable[[str], None]:
    """Says what a server waits for: fetching one takes half a minute."""
    return lambda line: progress(f"postgres: {line}")


@pytest.fixture(scope="session")
def postgres_server(postgres_progress: Callable[[str], None]) -> Iterator[Server]:
    """The session's server: a named one, a container or our own; a failure if there is none."""
    try:
        with obtain(os.environ, postgres_progress) as server:
            yield server
    except NoPostgresError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def postgres_cluster(postgres_progress: Callable[[str], None]) -> Iterator[Cluster]:
    """A second server, ours to reconfigure and to restart."""
    try:
        with own_cluster(postgres_progress) as cluster:
            yield cluster
    except NoPostgresError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def postgres_databases(postgres_server: Server) -> Iterator[Databases]:
    """Makes as many databases as a test wants."""
    databases = Databases(postgres_server)
    yield databases
    databases.drop_all()


@pytest.fixture
def empty_database(postgres_server: Server, postgres_databases: Databases) -> str:
    """The address of a database without anything in it."""
    return postgres_server.url(postgres_databases.create())


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Server) -> Iterator[str]:
    """The name of a database with the newest schema; nobody may be connected to it."""
    databases = Databases(postgres_server)
    name = databases.create()
    schema.migrate(PostgresUrl.parse(postgres_server.url(name)), lambda _: None)
    yield name
    databases.drop_all()


@pytest.fixture
def postgres_database(
    postgres_server: Server, postgres_databases: Databases, postgres_template: str
) -> str:
    """The address of a database with the newest schema and no rows."""
    return postgres_server.url(postgres_databases.create(postgres_template))


@pytest.fixture(scope="session")
def postgres_shared(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    """The address of one database that test after test may use."""
    databases = Databases(postgres_server)
    yield postgres_server.url(databases.create(postgres_template))
    databases.drop_all()


@pytest.fixture
def postgres_emptied(postgres_shared: str) -> str:
    """As `postgres_database`, in a tenth of the time: numbers that count up go on, though."""
    with closing(psycopg.connect(postgres_shared, autocommit=True)) as connection:
        names = connection.execute(
            "SELECT quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname = current_schema() AND tablename <> ALL (%s)",
            (["alembic_version", "schema_version"],),
        ).fetchall()
        connection.execute(";".join(f"DELETE FROM {name}" for (name,) in names))
    return postgres_shared


Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def ask() -> Ask:
    """Rows of a statement at an address: `ask(url, "SELECT 1")`."""

    def rows(
        url: str, statement: str, parameters: Sequence[object] | None = None
    ) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            found = connection.execute(statement.encode(), parameters)
            return found.fetchall() if found.description else []

    return rows

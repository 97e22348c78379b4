"""Stores that answer the contract: one parameter an adapter and way of running it."""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import psycopg
import pytest
from typing_extensions import override

from app.domain.memory import Memory
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.entry import Draft
from app.log.names import Name
from app.log.state import EntityKey
from app.store import schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.protocol import Decided, Needs, Store, View
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from tests.postgres.fixtures import Databases
from tools.postgres.server import Server

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
MODEL = "test-model:4"
DIM = 4


@dataclass
class TurnedClock:
    """Time that only moves when a test turns it, and a microsecond at every look."""

    instant: datetime = START

    def now(self) -> datetime:
        self.instant += timedelta(microseconds=1)
        return self.instant

    def monotonic(self) -> float:
        return (self.instant - START).total_seconds()

    def turn(self, **span: float) -> None:
        self.instant += timedelta(**span)

    def text(self) -> str:
        return format_instant(self.instant)


@dataclass
class SeededRandomness:
    seed: int
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def token(self, byte_count: int) -> bytes:
        return self.random.randbytes(byte_count)


class RealDisk:
    def file(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def directory(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


# What a real store refuses, so that vectors of a test stay readable.
SHORT_VECTORS = "ALTER TABLE memories ALTER COLUMN embedding TYPE vector(4);"
SHORT_VECTORS += " ALTER TABLE archived_memories ALTER COLUMN embedding TYPE vector(4)"

TestedStore = SqliteStore | PostgresStore


@dataclass
class Stores(ABC):
    """Opens stores and closes them all at the end."""

    clock: TurnedClock
    opened: list[Store] = field(default_factory=list)

    def open(self, name: str = "a", seed: int | None = None) -> TestedStore:
        store = self._open(name, SeededRandomness(seed or len(self.opened) + 1))
        self.opened.append(store)
        return store

    @abstractmethod
    def _open(self, name: str, randomness: SeededRandomness) -> TestedStore: ...

    async def close(self, store: Store) -> None:
        self.opened.remove(store)
        await store.close()

    async def close_all(self) -> None:
        for store in list(self.opened):
            await self.close(store)


@dataclass(kw_only=True)
class SqliteStores(Stores):
    folder: Path
    inline: bool

    @override
    def _open(self, name: str, randomness: SeededRandomness) -> TestedStore:
        path = self.folder / f"{name}.db"
        schema.migrate(path, lambda _: None)
        return SqliteStore.open(
            SqliteOptions(FileOptions(path), model=MODEL, dim=DIM, inline=self.inline),
            Sources(self.clock, randomness, RealDisk()),
        )


@dataclass(kw_only=True)
class PostgresStores(Stores):
    """A database a name; a store opened again finds what it left."""

    create: Callable[[], str]
    inline: bool = False
    databases: dict[str, str] = field(default_factory=dict)

    def url(self, name: str = "a") -> str:
        if name not in self.databases:
            self.databases[name] = self.create()
            with closing(psycopg.connect(self.databases[name], autocommit=True)) as connection:
                connection.execute(SHORT_VECTORS)
        return self.databases[name]

    @override
    def _open(self, name: str, randomness: SeededRandomness) -> TestedStore:
        options = PostgresOptions(PostgresUrl.parse(self.url(name)), most=3, least=1)
        return PostgresStore(
            WriteOptions(options, model=MODEL, inline=self.inline),
            self.clock,
            randomness,
            dim=DIM,
        )


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture(params=["sqlite threaded", "sqlite inline", "postgres"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, clock: TurnedClock
) -> AsyncIterator[Stores]:
    found: Stores
    if request.param == "postgres":
        found = PostgresStores(clock, create=new_database(request))
    else:
        found = SqliteStores(clock, folder=tmp_path, inline=request.param == "sqlite inline")
    yield found
    await found.close_all()


def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes databases with the newest schema, cloned from a template."""
    server: Server = request.getfixturevalue("postgres_server")
    template: str = request.getfixturevalue("postgres_template")
    databases: Databases = request.getfixturevalue("postgres_databases")
    return lambda: server.url(databases.create(template))


@pytest.fixture
def store(stores: Stores) -> TestedStore:
    return stores.open()


def memory(memory_id: str, **changes: object) -> Memory:
    """A row as a client would store it."""
    at = format_instant(START)
    plain = Memory(
        id=memory_id,
        tier="mid",
        namespace="global",
        title=f"title of {memory_id}",
        content=f"content of {memory_id}",
        tags=(),
        priority=5,
        confidence=1.0,
        source="api",
        access_count=0,
        created_at=at,
        updated_at=at,
        metadata={"agent_id": "alice"},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Put:
    """Store a row; a taken name is an error."""

    row: Memory
    error: Exception | None = None

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.row.id,), names=(Name(self.row.namespace, self.row.title),))

    def decide(self, view: View) -> Decided[Memory]:
        if self.error is not None:
            raise self.error
        is_new = view.cells(EntityKey("memory", self.row.id)) is None
        return Decided(_shown(self.row.id), [drafts.store(self.row, "alice", is_new=is_new)])


@dataclass(frozen=True)
class Change:
    """Change fields of a row."""

    memory_id: str
    fields: dict[str, object]

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.memory_id,))

    def decide(self, view: View) -> Decided[Memory]:
        before = view.snapshot(self.memory_id)
        assert before is not None
        after = replace(before.memory, updated_at=view.now, **self.fields)  # type: ignore[arg-type]
        draft = drafts.update(before, after, "alice", view.origin)
        return Decided(_shown(self.memory_id), [] if draft is None else [draft])


@dataclass(frozen=True)
class Say:
    """Append what a function makes of the view."""

    make: Callable[[View], Draft]

    @property
    def needs(self) -> Needs:
        return Needs()

    def decide(self, view: View) -> Decided[None]:
        return Decided(lambda _: None, [self.make(view)])


def _shown(memory_id: str) -> Callable[[View], Memory]:
    def read(view: View) -> Memory:
        found = view.snapshot(memory_id)
        assert found is not None
        return found.memory

    return read


def delete(*ids: str) -> Say:
    return Say(lambda view: drafts.delete(ids, "alice", view.now, archived=False, reason="delete"))


def archive(*ids: str) -> Say:
    return Say(lambda view: drafts.archive(ids, "alice", view.now, "archive"))


def purge(*ids: str) -> Say:
    return Say(lambda view: drafts.purge(ids, "alice", view.now))


def restore(memory_id: str) -> Say:
    def make(view: View) -> Draft:
        before = view.snapshot(memory_id)
        assert before is not None
        return drafts.restore(before, before.memory.expires_at, "alice", view.now, view.origin)

    return Say(make)

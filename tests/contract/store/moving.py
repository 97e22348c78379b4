"""Stores to move, filled at random, and everything that they hold in comparable form."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
import psycopg
from sqlalchemy import REAL, Column, LargeBinary, Text

from app.bootstrap.moving import Address, PostgresAddress, SqliteAddress
from app.domain.memory import MemoryLink
from app.domain.text import content_hash
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.entry import GENESIS_HASH, Draft, Entry, seal
from app.log.hlc import pack
from app.store import schema
from app.store.moving.tables import COPIED, SHOWN, STATES
from app.store.postgres import schema as postgres_schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.protocol import Charge, Decided, LocalRow, Needs, QuotaLimits, View
from app.store.sql.selects import SqlValue
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from app.store.tables.types import Embedding, JsonText, Timestamp
from tests.contract.store.conftest import (
    START,
    Change,
    Put,
    RealDisk,
    Say,
    SeededRandomness,
    TestedStore,
    TurnedClock,
    archive,
    delete,
    memory,
    purge,
    restore,
)

MODEL = "test-model:384"
DIM = 384
PEER = "00112233445566aa.3"
WORDS = (
    "ash",
    "birch",
    "cedar",
    "NUL \x00 inside",
    "größe",
    "e\u0301t\u00e9",
    "'; --",
    "\\",
    "\ufffe",
)


@dataclass
class Places:
    """Makes addresses and opens the stores there."""

    folder: Path
    create: Callable[[], str]
    clock: TurnedClock = field(default_factory=TurnedClock)
    numbers: "count[int]" = field(default_factory=count)

    def new(self, kind: str) -> Address:
        """An address with nothing there yet."""
        if kind == "sqlite":
            return SqliteAddress(self.folder / f"{next(self.numbers)}.db")
        return PostgresAddress(PostgresOptions(PostgresUrl.parse(self.create()), most=3, least=1))

    @asynccontextmanager
    async def opened(self, address: Address) -> AsyncIterator[TestedStore]:
        """A node's store, with an identity of its own."""
        store = self._open(address, SeededRandomness(next(self.numbers)))
        try:
            yield store
        finally:
            await store.close()

    def _open(self, address: Address, randomness: SeededRandomness) -> TestedStore:
        if isinstance(address, SqliteAddress):
            schema.migrate(address.path, lambda _: None)
            return SqliteStore.open(
                SqliteOptions(FileOptions(address.path), model=MODEL, dim=DIM),
                Sources(self.clock, randomness, RealDisk()),
            )
        postgres_schema.migrate(address.options.url, lambda _: None)
        options = WriteOptions(address.options, model=MODEL)
        return PostgresStore(options, self.clock, randomness, dim=DIM)


@dataclass(frozen=True)
class Own:
    """Rows of this node alone: a subscription, and what a write cost an agent."""

    number: int

    @property
    def needs(self) -> Needs:
        return Needs(quotas=(("alice", "global"),))

    def decide(self, view: View) -> Decided[None]:
        view.charge(
            Charge("alice", "global", memories=1, storage_bytes=7), QuotaLimits(None, None, None)
        )
        values: dict[str, SqlValue] = {
            "url": "https://example.org/hook",
            "events": "*",
            "created_at": view.now,
            "event_types": '["store","delete"]',
            "dispatch_count": self.number,
        }
        row = LocalRow("subscriptions", {"id": f"s{self.number}"}, values)
        return Decided(lambda _: None, rows=[row])


def vector(memory_id: str, title: str, content: str, chance: Random) -> Say:
    halves = np.array([chance.uniform(-1, 1) for _ in range(DIM)], dtype="<f2").tobytes()
    draft = drafts.embedding(memory_id, content_hash(title, content), MODEL, DIM, halves, "system")
    return Say(lambda _: draft)


def peer_entries(chance: Random) -> list[Entry]:
    """A peer's log: rows that fight for names, one of a kind to come, one of the far future."""
    made = [drafts.store(memory(f"p{n}", title=f"title of m{n}"), "bob") for n in range(4)]
    made.append(Draft("kind_to_come", "bob", ("p0",), {"some": chance.random()}))
    made.append(drafts.delete(["p1"], "bob", format_instant(START), archived=False, reason="x"))
    now = int(START.timestamp() * 1000)
    clocks = [*(pack(now) + n for n in range(len(made))), pack(now + 90 * 86_400_000)]
    made.append(drafts.store(memory("future"), "bob"))
    entries: list[Entry] = []
    previous = GENESIS_HASH
    for seq, (draft, hlc) in enumerate(zip(made, clocks, strict=True), start=1):
        entries.append(seal(draft, PEER, seq, hlc, previous))
        previous = entries[-1].hash
    return entries


def links(chance: Random, ids: list[str]) -> list[MemoryLink]:
    at = format_instant(START)
    pairs = {tuple(chance.sample(ids, 2)) for _ in range(len(ids) // 2)}
    return [
        MemoryLink(
            one,
            other,
            chance.choice(["related_to", "supersedes", "contradicts"]),
            created_at=at,
            valid_from=chance.choice([None, at]),
            observed_by="alice",
            attest_level="self_signed",
            signature=chance.randbytes(64),
        )
        for one, other in sorted(pairs)
    ]


async def fill(store: TestedStore, clock: TurnedClock, chance: Random, rows: int = 40) -> None:
    """Every kind of entry, name conflicts, expired and purged rows, rows of this node alone."""
    ids = [f"m{number}" for number in range(rows)]
    made = [
        memory(
            one,
            title=chance.choice([f"title of {one}", f"title of {one} ~p{number}"]),
            content=" ".join(chance.choices(WORDS, k=12)),
            tags=tuple(chance.sample(["a", "ü", "c d"], 2)),
            tier=chance.choice(["short", "mid", "long"]),
            namespace=chance.choice(["global", "team/a"]),
            created_at=chance.choice([format_instant(START), "2026-01-01T00:00:00Z"]),
            expires_at=chance.choice([None, "2026-06-01T12:30:00.000000+00:00"]),
            confidence=chance.choice([0.0, 0.1, 0.25, 1.0]),
            priority=chance.randint(1, 10),
            metadata={"agent_id": "alice", "n": [1, 1.5, None, {"x": "ü"}], "scope": "team"},
            source_uri=chance.choice([None, "doc:x"]),
            memory_kind=chance.choice(["observation", "claim", "reflection"]),
        )
        for number, one in enumerate(ids)
    ]
    await store.submit_all([Put(one) for one in made])
    await store.submit_all([vector(one.id, one.title, one.content, chance) for one in made[::2]])
    await store.append_foreign(peer_entries(chance))
    for _ in range(rows // 2):
        fields: dict[str, object] = chance.choice(
            [
                {"content": chance.choice(WORDS)},
                {"priority": 9},
                {"title": f"moved {chance.random()}"},
            ]
        )
        await store.submit(Change(chance.choice(ids), fields))
    await store.submit(Say(lambda _: drafts.link(links(chance, ids), "alice")))
    entity = replace(memory("entity"), tags=("entity",), metadata={"kind": "entity"})
    at = format_instant(START)
    await store.submit(Say(lambda _: drafts.alias(entity, ["E", "ent"], "alice", at, new=True)))
    await store.submit(
        Say(lambda _: drafts.standard_set("team/a", "entity", "team", at, [], "alice"))
    )
    await store.submit_all([Own(number) for number in range(3)])
    gone = chance.sample(ids, 9)
    await store.submit(archive(*gone[:4]))
    await store.submit(restore(gone[0]))
    await store.submit(delete(*gone[4:7]))
    await store.submit(purge(*gone[7:]))
    clock.turn(hours=1)
    await store.collect_expired(5, archive=True)
    await store.collect_expired(3, archive=False)


_FITTING = {"severity": "warn", "dim": DIM, "vector": bytes(2 * DIM)}


def put_a_row_into_each(path: Path) -> None:
    """One row in every table that is copied and has none, with a value in every column."""
    with closing(sqlite3.connect(path)) as connection:
        for table in COPIED:
            if connection.execute(f"SELECT 1 FROM {table.name}").fetchone() is None:
                row = {one.name: _FITTING.get(one.name, _any_value(one)) for one in table.c}
                connection.execute(
                    f"INSERT INTO {table.name} ({', '.join(row)})"
                    f" VALUES ({', '.join('?' * len(row))})",
                    tuple(row.values()),
                )
        connection.commit()


def _any_value(column: Column[object]) -> SqlValue:
    if isinstance(column.type, Timestamp):
        return "2026-06-01T12:00:00.250000+00:00"
    if isinstance(column.type, JsonText):
        return '{"z":[1,2.5,1000],"a":"\\u0000 ü"}'
    if isinstance(column.type, LargeBinary):
        return bytes(range(32))
    if isinstance(column.type, Text):
        return f"{column.name} \x00 ü"
    return 0.5 if isinstance(column.type, REAL) else 1


Dump = dict[str, list[tuple[object, ...]]]


def dump(address: Address) -> Dump:
    """Every table that moves, in a form that does not depend on the database."""
    if isinstance(address, SqliteAddress):
        with closing(sqlite3.connect(address.path)) as connection:
            return _dump(lambda text: connection.execute(text).fetchall())
    url = address.options.url
    with closing(psycopg.connect(**url.parameters)) as postgres:  # type: ignore[arg-type]
        postgres.execute(f"SET search_path = {url.schema}, public".encode())
        postgres.execute("SET TimeZone = 'UTC'")
        return _dump(lambda text: postgres.execute(text.encode()).fetchall())


def _dump(ask: Callable[[str], list[tuple[object, ...]]]) -> Dump:
    origins = {row[0]: row[1] for row in ask("SELECT origin_no, origin FROM log_origins")}
    found: Dump = {
        "heads": sorted(ask("SELECT origin, head_seq, head_hash, head_hlc FROM log_origins"))
    }
    for table in (*STATES, *SHOWN, *COPIED):
        columns = [column for column in table.c if column.computed is None]
        rows = ask(f"SELECT {', '.join(one.name for one in columns)} FROM {table.name}")
        found[table.name] = sorted(
            (
                tuple(
                    _value(one, column, origins) for one, column in zip(row, columns, strict=True)
                )
                for row in rows
            ),
            key=repr,
        )
    return found


def _value(value: object, column: Column[object], origins: dict[object, object]) -> object:
    if column.name == "origin_no":
        return origins[value]
    return None if value is None else _alike(value, column)


def _alike(value: object, column: Column[object]) -> object:
    if isinstance(column.type, Embedding):
        return _floats(value)
    if isinstance(column.type, Timestamp):
        return _moment(value) if isinstance(value, str) else value
    if isinstance(column.type, JsonText):
        document = json.loads(value) if isinstance(value, str) else value
        return json.dumps(document, sort_keys=True).replace("\\u0000", "\\ufffd")
    if not isinstance(value, str):
        return value
    # Where PostgreSQL cannot hold NUL: an escape in keys, another character elsewhere.
    return value.replace("\x00", "\ufffd").replace("\ufffe0", "\ufffd")


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _floats(value: object) -> list[float]:
    if isinstance(value, bytes):
        return [float(one) for one in np.frombuffer(value[1:], dtype="<f4")]
    return [float(np.float32(one)) for one in str(value).strip("[]").split(",")]


def tables(found: Dump) -> dict[str, int]:
    return {name: len(rows) for name, rows in found.items() if rows}

"""What the node writes for one memory, learned from the node's own store and not from memory.

The baselines fill the same columns of the same tables with values of the same size. Where the node
comes to write a table that they do not know, learning fails: a ruler must not shrink unnoticed.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

from app.bootstrap.sources import SystemClock, SystemDisk, SystemRandomness
from app.domain.text import equal_text_key
from app.services.caller import Caller
from app.services.commands.memories import StoreMemory
from app.services.new_memory import NewMemory, TierLives, checked, row_of
from app.store.protocol import QuotaLimits
from app.store.registry import StoreOptions, open_store
from app.store.sqlite.adapter import Sources, SqliteStore
from app.store.tables import metadata
from bench.baseline.rows import Row, make_rows
from bench.measurement import MeasurementError

Value = str | int | float | bytes | None

AGENT = "local"
ROW_TABLES = frozenset(
    {"memories", "memory_state", "name_claims", "log_entries", "text_duplicates"}
)
BATCH_TABLES = frozenset({"digest_buckets", "log_origins", "agent_quotas"})


@dataclass(frozen=True)
class Template:
    """One stored memory, table by table, without its title and content.

    Attributes:
        memory: Column to value of `memories`, only the columns that the node writes.
        state: The bytes of the state beside title and content.
        payload: The bytes of the log entry's payload beside them.
        quotas: Rows of `agent_quotas`, columns in the table's order.
    """

    memory: dict[str, Value]
    state: bytes
    claim_stamp: str
    entry_kind: str
    header: bytes
    payload: bytes
    origin: str
    quotas: tuple[tuple[Value, ...], ...]


def store_command(row: Row, now: datetime, tier: str = "mid") -> StoreMemory:
    """What `POST /api/v1/memories` of this row submits on a node with the settings of `serve`."""
    accepted = checked(NewMemory(row.title, row.content, tier, row.namespace), now)
    return StoreMemory(
        memory=row_of(accepted, row.id, AGENT, now, TierLives()),
        caller=Caller(AGENT),
        on_conflict="error",
        limits=QuotaLimits(None, None, None),
        text_key=equal_text_key(row.content),
    )


def learn(folder: Path) -> Template:
    """Store two rows in a new store in `folder`, and read what that wrote.

    Raises:
        MeasurementError: The node writes other tables than the baselines do.
    """
    folder.mkdir(parents=True)
    path = folder / "template.db"
    first, second = make_rows(2, seed=-1)
    store = open_store(
        StoreOptions(path, mmap_bytes=0, model=None, dim=0, index_texts=True),
        Sources(SystemClock(), SystemRandomness(), SystemDisk()),
        lambda _what, _done, _total: None,
    )
    before, after = asyncio.run(_stored(store, path, first, second))
    written = {name for name, rows in after.items() if rows != before[name]}
    if written != ROW_TABLES | BATCH_TABLES:
        differing = sorted(written ^ (ROW_TABLES | BATCH_TABLES))
        raise MeasurementError(f"node and baseline do not write the same tables: {differing}")
    return _read(path, second)


Contents = dict[str, frozenset[tuple[Value, ...]]]


async def _stored(
    store: SqliteStore, path: Path, first: Row, second: Row
) -> tuple[Contents, Contents]:
    try:
        await store.submit(store_command(first, datetime.now(UTC)))
        before = _contents(path)
        await store.submit(store_command(second, datetime.now(UTC)))
        return before, _contents(path)
    finally:
        await store.close()


def _contents(path: Path) -> Contents:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    found = {
        name: frozenset(connection.execute(f"SELECT * FROM {name}")) for name in metadata.tables
    }
    connection.close()
    return found


def _read(path: Path, row: Row) -> Template:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    names = [column.name for column in metadata.tables["memories"].c if column.computed is None]
    shown = ", ".join(names)
    memory = _one(connection, f"SELECT {shown} FROM memories WHERE id = ?", row.id)
    (state,) = _one(connection, "SELECT state FROM memory_state WHERE id = ?", row.id)
    (stamp,) = _one(connection, "SELECT stamp FROM name_claims WHERE memory_id = ?", row.id)
    kind, header, payload = _one(
        connection, "SELECT kind, header, payload FROM log_entries WHERE seq = ?", 2
    )
    (origin,) = _one(connection, "SELECT origin FROM log_origins WHERE is_self = ?", 1)
    quotas = tuple(connection.execute("SELECT * FROM agent_quotas"))
    connection.close()
    values = dict(zip(names, memory, strict=True))
    assert isinstance(stamp, str)
    assert isinstance(kind, str)
    assert isinstance(header, bytes)
    assert isinstance(origin, str)
    return Template(
        memory={name: value for name, value in values.items() if not name.startswith("embedding")},
        state=_without_text(state, row),
        claim_stamp=stamp,
        entry_kind=kind,
        header=header,
        payload=_without_text(payload, row),
        origin=origin,
        quotas=quotas,
    )


def _one(connection: apsw.Connection, query: str, key: Value) -> tuple[Value, ...]:
    found: tuple[Value, ...] | None = connection.execute(query, (key,)).fetchone()
    if found is None:
        raise MeasurementError(f"the node wrote nothing that answers: {query}")
    return found


def _without_text(data: Value, row: Row) -> bytes:
    assert isinstance(data, bytes)
    for text in (row.title.encode(), row.content.encode()):
        if data.count(text) != 1:
            raise MeasurementError("the node's state and log no longer hold title and content once")
        data = data.replace(text, b"")
    return data

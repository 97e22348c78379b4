"""The barest durable write on a server: one transaction a batch, one statement a table in it.

The statements are the node's own for new rows, an array a column. Making the arrays of the rows,
and a text's terms, is part of it, as on SQLite; what the server alone takes is told as well.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from app.bootstrap.sources import SystemClock, SystemRandomness
from app.log.entry import GENESIS_HASH
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions, Preamble, connect
from app.store.postgres.statements import rendered
from app.store.postgres.transactions import pipelined
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.tables import (
    agent_quotas,
    log_entries,
    log_origins,
    memories,
    memory_state,
    metadata,
    name_claims,
    text_duplicates,
)
from app.store.writing.rows import INDEXED_COLUMNS
from app.store.writing.statements import Insert, Replace, Update
from bench.baseline.raw_writes import HLC_FIRST, LOG_COLUMNS, with_text
from bench.baseline.rows import Row, make_rows
from bench.baseline.template import ROW_TABLES, Template, Value, store_command
from bench.measurement import MeasurementError

BATCH_TABLES = frozenset({"digest_deltas", "log_origins", "agent_quotas"})
QUOTA_KEYS = ("agent_id", "namespace")
ENTRIES = Insert(log_entries, LOG_COLUMNS)
STATES = Insert(memory_state, ("id", "state", "row_hash", "collected"))
CLAIMS = Insert(name_claims, ("namespace", "title", "memory_id", "stamp"))
TEXTS = Insert(text_duplicates, ("text_hash", "memory_id"))
HEAD = Update(log_origins, "origin_no", ("head_seq", "head_hash", "head_hlc"))
QUOTAS = Insert(
    agent_quotas,
    tuple(column.name for column in agent_quotas.c),
    Replace(QUOTA_KEYS, tuple(c.name for c in agent_quotas.c if c.name not in QUOTA_KEYS)),
)
DIGESTS = b"INSERT INTO digest_deltas (buckets, deltas) VALUES (%b, %b)"


@dataclass(frozen=True)
class Batch:
    """Statements with their parameters, in order."""

    statements: Sequence[tuple[bytes, Sequence[object]]]


class RawServer:
    """A database with our schema that only takes memories, durably, as the node's writer does.

    To be used by one thread.
    """

    def __init__(self, address: str, template: Template) -> None:
        options = PostgresOptions(PostgresUrl.parse(address))
        self._connection = connect(options)
        durable = b"; SET LOCAL synchronous_commit = on"
        self._preamble = Preamble.writing(options).text + durable
        self._template = template
        columns = [column.name for column in memories.c if column.name in template.memory]
        assert set(INDEXED_COLUMNS) <= set(columns)
        self._memories = Insert(memories, tuple(columns))
        self._rest = [template.memory[name] for name in columns]
        self._places = [columns.index(name) for name in ("id", "namespace", "title", "content")]
        self._origin_no = self._origin()
        self._seq = 0

    def made(self, rows: Sequence[Row]) -> Batch:
        """What `commit` will send for these rows; to be committed in the order of making."""
        template, entries = self._template, [self._entry(row) for row in rows]
        given: list[tuple[Insert | Update, Sequence[Sequence[Value]]]] = [
            (ENTRIES, entries),
            (STATES, [(row.id, with_text(template.state, row), row.hash, 0) for row in rows]),
            (CLAIMS, [(row.namespace, row.title, row.id, template.claim_stamp) for row in rows]),
            (self._memories, [self._memory(row) for row in rows]),
            (TEXTS, [(row.hash, row.id) for row in rows]),
            (QUOTAS, template.quotas),
            (HEAD, [(self._origin_no, self._seq, rows[-1].hash, HLC_FIRST + self._seq)]),
        ]
        statements: list[tuple[bytes, Sequence[object]]] = [
            (rendered(statement).text, rendered(statement).parameters(values))
            for statement, values in given
        ]
        buckets = {row.hash[0]: row.hash for row in rows}
        statements.append((DIGESTS, (bytes(buckets), b"".join(buckets.values()))))
        return Batch(statements)

    def commit(self, batch: Batch) -> None:
        """Store a batch; it is on the server's disk when this returns."""
        self._connection.execute(self._preamble, prepare=False)
        with pipelined(self._connection):
            for text, parameters in batch.statements:
                self._connection.execute(text, parameters)

    def count(self) -> int:
        row = self._connection.execute("SELECT count(*) FROM memories").fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        self._connection.close()

    def _origin(self) -> int:
        row = self._connection.execute(
            "INSERT INTO log_origins (origin, is_self, head_seq, head_hash, head_hlc)"
            " VALUES (%s, 1, 0, %s, 0) RETURNING origin_no",
            (self._template.origin, GENESIS_HASH),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _entry(self, row: Row) -> tuple[Value, ...]:
        self._seq += 1
        template = self._template
        head = (self._origin_no, self._seq, HLC_FIRST + self._seq, template.entry_kind)
        return (*head, template.header, with_text(template.payload, row), row.hash, row.hash)

    def _memory(self, row: Row) -> list[Value]:
        values = self._rest.copy()
        texts = (row.id, row.namespace, row.title, row.content)
        for place, text in zip(self._places, texts, strict=True):
            values[place] = text
        return values


def rows_per_second(address: str, template: Template, rows: Sequence[Row], batch: int) -> float:
    """Store all rows in a new store, `batch` a transaction."""
    with closing(RawServer(address, template)) as store:
        started = time.perf_counter()
        for start in range(0, len(rows), batch):
            store.commit(store.made(rows[start : start + batch]))
        return _rate(store, rows, started)


def rows_per_second_of_server(
    address: str, template: Template, rows: Sequence[Row], batch: int
) -> float:
    """As `rows_per_second`, with every parameter made beforehand."""
    with closing(RawServer(address, template)) as store:
        batches = [store.made(rows[start : start + batch]) for start in range(0, len(rows), batch)]
        started = time.perf_counter()
        for one in batches:
            store.commit(one)
        return _rate(store, rows, started)


def _rate(store: RawServer, rows: Sequence[Row], started: float) -> float:
    took = time.perf_counter() - started
    assert store.count() == len(rows), "the baseline lost rows"
    return len(rows) / took


def check_tables(address: str) -> None:
    """See that a node fills the same tables for a memory as the baseline does.

    Raises:
        MeasurementError: It does not: a ruler must not shrink unnoticed.
    """
    options = WriteOptions(PostgresOptions(PostgresUrl.parse(address)))
    store = PostgresStore(options, SystemClock(), SystemRandomness())
    before, after = asyncio.run(_stored(store, address))
    written = {name for name, content in after.items() if content != before[name]}
    if written != ROW_TABLES | BATCH_TABLES:
        differing = sorted(written ^ (ROW_TABLES | BATCH_TABLES))
        raise MeasurementError(f"node and baseline do not write the same tables: {differing}")


Contents = dict[str, str]


async def _stored(store: PostgresStore, address: str) -> tuple[Contents, Contents]:
    first, second = make_rows(2, seed=-1)
    try:
        await store.submit(store_command(first, datetime.now(UTC)))
        before = _contents(address)
        await store.submit(store_command(second, datetime.now(UTC)))
        return before, _contents(address)
    finally:
        await store.close()


def _contents(address: str) -> Contents:
    """A hash of each of the engine's tables."""
    found: Contents = {}
    with psycopg.connect(address) as connection:
        for name in metadata.tables:
            statement = sql.SQL(
                "SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {} AS t"
            ).format(sql.Identifier(name))
            row = connection.execute(statement).fetchone()
            assert row is not None
            found[name] = str(row[0])
    return found

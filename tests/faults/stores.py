"""Opening a store in the ways that the fault tests need, and looking at every part of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import apsw

from app.domain.sources import DiskSync
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions
from app.store.sqlite.scrub import scrub
from tests.contract.store.conftest import RealDisk, SeededRandomness, TurnedClock
from tests.faults.workload import DIM, MODEL, Account, Contents


def open_store(
    file: FileOptions, seed: int, *, disk_sync: DiskSync | None = None, inline: bool = False
) -> SqliteStore:
    """A store with its own clock and chance, on a file whose schema is current."""
    return SqliteStore.open(
        SqliteOptions(file, model=MODEL, dim=DIM, inline=inline),
        Sources(TurnedClock(), SeededRandomness(seed), disk_sync or RealDisk()),
    )


@dataclass(frozen=True)
class Found:
    """A database as it is read with nothing but SQL."""

    contents: Contents
    seqs: dict[str, list[int]]
    heads: dict[str, int]
    vectors: int


def read_database(path: Path) -> Found:
    """Read without the program: what the tables say."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        contents: Contents = dict.fromkeys(_column(connection, "SELECT id FROM memory_state"))
        for memory_id, content in connection.execute("SELECT id, content FROM memories"):
            contents[str(memory_id)] = str(content)
        seqs: dict[str, list[int]] = {}
        for origin, seq in connection.execute(
            "SELECT origin, seq FROM log_entries JOIN log_origins USING (origin_no)"
            " ORDER BY apply_no"
        ):
            seqs.setdefault(str(origin), []).append(cast("int", seq))
        heads = {
            str(origin): cast("int", head)
            for origin, head in connection.execute("SELECT origin, head_seq FROM log_origins")
        }
        ((vectors,),) = connection.execute(
            "SELECT count(*) FROM memory_vectors WHERE model = ? AND dim = ?", (MODEL, DIM)
        ).fetchall()
        return Found(contents, seqs, heads, cast("int", vectors))
    finally:
        connection.close()


def faults_of(path: Path) -> list[str]:
    """Everything inside one database that does not fit together, in words; empty when sound."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        faults = [one for one in _column(connection, "PRAGMA integrity_check") if one != "ok"]
        try:
            # With rank 1 the index is compared with the rows it was made from (FTS5, 6.7).
            connection.execute(
                "INSERT INTO memories_fts (memories_fts, rank) VALUES ('integrity-check', 1)"
            )
        except apsw.CorruptError:
            faults.append("the text index does not agree with the memories")
        report = scrub(connection, lambda _done, _total: None)
        if not report.is_sound:
            faults.append(f"scrub: {report}")
        orphans = _column(
            connection,
            "SELECT memory_id FROM memory_vectors WHERE memory_id NOT IN"
            " (SELECT id FROM memories UNION ALL SELECT id FROM archived_memories)",
        )
        faults += [f"a vector of {one}, which is gone" for one in orphans]
    finally:
        connection.close()
    found = read_database(path)
    for origin, head in found.heads.items():
        if found.seqs.get(origin, []) != list(range(1, head + 1)):
            faults.append(f"the log of {origin} does not run from 1 to {head} without a gap")
    return faults


def losses(found: Contents, accounts: Sequence[Account]) -> list[str]:
    """What the writers were promised and do not find, or find though it cannot be."""
    return [
        f"after {account.acknowledged} acknowledged and {account.tried} tried operations:"
        f" {_difference(mine, account)}"
        for name, account in _named(accounts)
        if (mine := _of(found, name)) not in account.allowed
    ]


def _named(accounts: Sequence[Account]) -> list[tuple[str, Account]]:
    return [(f"w{number}-", account) for number, account in enumerate(accounts)]


def _of(found: Contents, prefix: str) -> Contents:
    return {one: content for one, content in found.items() if one.startswith(prefix)}


def _difference(found: Contents, account: Account) -> str:
    expected = account.allowed[0]
    differ = [one for one in {*expected, *found} if expected.get(one) != found.get(one)]
    return f"{sorted(differ)} differ from the last acknowledged state"


def _column(connection: apsw.Connection, statement: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(statement)]

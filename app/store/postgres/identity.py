"""Which origin this node writes as: a leased row of the schema, proved in every batch.

Several nodes may write to one schema, each as an origin of its own. Whoever knows a row's boot
token holds it; taking a lease writes a new token, so that its former holder notices at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import psycopg

from app.log.entry import GENESIS_HASH
from app.log.epochs import (
    EpochReason,
    Identity,
    Sidecar,
    StoredIdentity,
    choose_identity,
    highest_epochs,
    used_epochs,
)
from app.store.sidecar import read_sidecar, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from app.domain.sources import DiskSync, Randomness

    Begin = Callable[[], AbstractContextManager[None]]

LEASE_SECONDS: Final = 30
_STORE_ID_BYTES: Final = 8
_UNKNOWN_SYSTEM: Final = "unknown"
TIMELINE: Final = (
    b"('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int"
)
"""The timeline that the server writes to now. What its control file says is the last checkpoint's,
which after a promotion is the former one for minutes."""
SERVER_SEPARATOR: Final = ":"
_KNOWN: Final = (
    b"SELECT n.node_id, n.epoch, n.boot_token, n.server, coalesce(o.head_seq, 0)"
    b" FROM node_leases AS n LEFT JOIN log_origins AS o ON o.origin = n.node_id || '.' || n.epoch"
)
_MINE: Final = _KNOWN + b" WHERE n.node_id = %s FOR UPDATE OF n"
# Somebody else's that nobody keeps. Others who look at the same time pass over it.
_FREE: Final = (
    _KNOWN + b" WHERE n.leased_until < now() ORDER BY n.node_id LIMIT 1 FOR UPDATE OF n SKIP LOCKED"
)


@dataclass(frozen=True, slots=True)
class NodeFile:
    """Where a node keeps who it is; without one it takes any row that nobody holds."""

    path: Path
    disk_sync: DiskSync


@dataclass(frozen=True, slots=True)
class Former:
    """Who this process was on a connection before, and how far it knows that it came."""

    identity: Identity
    head_seq: int

    def holds(self, stored: StoredIdentity) -> bool:
        """Whether nobody has taken the row since."""
        return stored.boot_token == self.identity.new_boot_token


def take_identity(
    connection: psycopg.Connection,
    begin: Begin,
    randomness: Randomness,
    *,
    server: str,
    node_file: NodeFile | None,
    former: Former | None = None,
    forced: EpochReason | None = None,
    used: Mapping[str, int] | None = None,
) -> Identity:
    """Lease an origin, in the order that `app.log.epochs` asks for.

    A former identity is kept if the row, the server and its timeline are still the same. `server`
    is what `server_of` says of the connection. `forced` asks for a new epoch, above those of
    `used`: node id → the highest that peers know.
    """
    with begin():
        sidecar = _sidecar(node_file, former)
        stored = _stored(connection, sidecar, leases=node_file is None or former is not None)
        if former is not None and stored is not None and not former.holds(stored):
            sidecar = stored = None  # somebody took the row: leave it to them
        elif sidecar is None and stored is not None and stored.database == server:
            # A node without a file has only the row to go by. After a promotion that is not enough:
            # the server may have lost a later epoch, too.
            sidecar = Sidecar(stored.node_id, stored.epoch, stored.boot_token)
        origins = connection.execute(b"SELECT origin FROM log_origins").fetchall()
        identity = choose_identity(
            stored,
            sidecar,
            randomness,
            database=server,
            forced=forced,
            known_epochs=highest_epochs(used or {}, used_epochs(origin for (origin,) in origins)),
        )
        if node_file is not None:
            write_durably(node_file.path, identity.prepared.to_json(), node_file.disk_sync)
        _record(connection, identity, server, randomness)
    if node_file is not None and identity.settled != identity.prepared:
        write_durably(node_file.path, identity.settled.to_json(), node_file.disk_sync)
    return identity


def server_of(connection: psycopg.Connection) -> str:
    """The server's system identifier and timeline; a restored or promoted one differs.

    Raises:
        psycopg.errors.ReadOnlySqlTransaction: it is a standby, such as behind a pooler.
    """
    row = connection.execute(
        b"SELECT CASE WHEN NOT pg_is_in_recovery() THEN " + TIMELINE + b" END"
    ).fetchone()
    assert row is not None
    if row[0] is None:
        raise psycopg.errors.ReadOnlySqlTransaction("the server is a standby")
    return f"{_system_of(connection)}{SERVER_SEPARATOR}{row[0]}"


def _system_of(connection: psycopg.Connection) -> str:
    try:
        row = connection.execute(b"SELECT system_identifier FROM pg_control_system()").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return _UNKNOWN_SYSTEM
    assert row is not None
    return str(row[0])


def _sidecar(node_file: NodeFile | None, former: Former | None) -> Sidecar | None:
    if former is not None:
        one = former.identity
        return Sidecar(one.node_id, one.epoch, one.new_boot_token, None, former.head_seq)
    return None if node_file is None else read_sidecar(node_file.path)


def _stored(
    connection: psycopg.Connection, sidecar: Sidecar | None, *, leases: bool
) -> StoredIdentity | None:
    """The node's row, or one that is free if it may lease any."""
    if sidecar is not None:
        found = connection.execute(_MINE, (sidecar.node_id,))
    elif leases:
        found = connection.execute(_FREE)
    else:
        return None
    row = found.fetchone()
    if row is None:
        return None
    node_id, epoch, token, server, head_seq = cast("tuple[str, int, str, str, int]", row)
    return StoredIdentity(node_id, epoch, token, head_seq, server)


def _record(
    connection: psycopg.Connection, identity: Identity, server: str, randomness: Randomness
) -> None:
    connection.execute(
        b"INSERT INTO store_identity (id, store_id, node_id, epoch, boot_token)"
        b" VALUES (1, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
        (
            randomness.token(_STORE_ID_BYTES).hex(),
            identity.node_id,
            identity.epoch,
            identity.new_boot_token,
        ),
    )
    connection.execute(
        b"INSERT INTO node_leases (node_id, epoch, boot_token, server, leased_until)"
        b" VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s))"
        b" ON CONFLICT (node_id) DO UPDATE SET epoch = excluded.epoch,"
        b" boot_token = excluded.boot_token, server = excluded.server,"
        b" leased_until = excluded.leased_until",
        (identity.node_id, identity.epoch, identity.new_boot_token, server, LEASE_SECONDS),
    )
    # What an earlier epoch may have lost is pulled back from peers, as from anyone.
    connection.execute(
        b"UPDATE log_origins SET is_self = 0 WHERE is_self = 1 AND origin LIKE %s",
        (f"{identity.node_id}.%",),
    )
    connection.execute(
        b"INSERT INTO log_origins (origin, is_self, head_seq, head_hash, head_hlc)"
        b" VALUES (%s, 1, 0, %s, 0) ON CONFLICT (origin) DO UPDATE SET is_self = 1",
        (identity.origin, GENESIS_HASH),
    )


def release(connection: psycopg.Connection, identity: Identity) -> None:
    """Let another node have the row at once."""
    connection.execute(
        b"UPDATE node_leases SET leased_until = '-infinity' WHERE node_id = %s AND boot_token = %s",
        (identity.node_id, identity.new_boot_token),
    )


def keep(connection: psycopg.Connection, identity: Identity) -> None:
    """Hold the row for another while, if it is still ours."""
    connection.execute(
        b"UPDATE node_leases SET leased_until = now() + make_interval(secs => %s)"
        b" WHERE node_id = %s AND boot_token = %s",
        (LEASE_SECONDS, identity.node_id, identity.new_boot_token),
    )

"""Which origin this boot writes as: the store's record, the sidecar file, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.entry import GENESIS_HASH
from app.log.epochs import Identity, StoredIdentity, choose_identity, highest_epochs, used_epochs
from app.store.sidecar import read_sidecar, write_durably
from app.store.writing.chain import Head

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import apsw

    from app.domain.sources import DiskSync, Randomness
    from app.log.epochs import EpochReason

_SIDECAR_SUFFIX: Final = ".node"
_STORE_ID_BYTES: Final = 8


def sidecar_path(database: Path) -> Path:
    """The file beside the store."""
    return database.with_name(database.name + _SIDECAR_SUFFIX)


def take_identity(
    connection: apsw.Connection,
    database: Path,
    randomness: Randomness,
    sync: DiskSync,
    forced: EpochReason | None = None,
    used: Mapping[str, int] | None = None,
) -> tuple[Identity, Head]:
    """Decide who this boot is, write it in the order that `app.log.epochs` asks for.

    `forced` asks for a new epoch, above those of `used`: node id → the highest that peers know.
    """
    stored = _stored(connection)
    path = sidecar_path(database)
    origins = connection.execute("SELECT origin FROM log_origins").fetchall()
    identity = choose_identity(
        stored,
        read_sidecar(path),
        randomness,
        forced=forced,
        known_epochs=highest_epochs(
            used or {}, used_epochs(cast("str", origin) for (origin,) in origins)
        ),
    )
    write_durably(path, identity.prepared.to_json(), sync)
    head = _record(connection, identity, randomness)
    if identity.settled != identity.prepared:
        write_durably(path, identity.settled.to_json(), sync)
    return identity, head


def _stored(connection: apsw.Connection) -> StoredIdentity | None:
    row = connection.execute(
        "SELECT node_id, epoch, boot_token FROM store_identity WHERE id = 1"
    ).fetchone()
    if row is None:
        return None
    node_id, epoch, token = row
    head = connection.execute("SELECT head_seq FROM log_origins WHERE is_self = 1").fetchone()
    return StoredIdentity(
        cast("str", node_id),
        cast("int", epoch),
        cast("str", token),
        head_seq=cast("int", head[0]) if head else 0,
    )


def _record(connection: apsw.Connection, identity: Identity, randomness: Randomness) -> Head:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "INSERT INTO store_identity (id, store_id, node_id, epoch, boot_token)"
            " VALUES (1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " node_id = excluded.node_id, epoch = excluded.epoch, boot_token = excluded.boot_token",
            (
                randomness.token(_STORE_ID_BYTES).hex(),
                identity.node_id,
                identity.epoch,
                identity.new_boot_token,
            ),
        )
        connection.execute(
            "UPDATE log_origins SET is_self = 0 WHERE origin <> ?", (identity.origin,)
        )
        connection.execute(
            "INSERT INTO log_origins (origin, is_self, head_seq, head_hash, head_hlc)"
            " VALUES (?, 1, 0, ?, 0) ON CONFLICT (origin) DO UPDATE SET is_self = 1",
            (identity.origin, GENESIS_HASH),
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    row = connection.execute(
        "SELECT origin_no, origin, head_seq, head_hash, head_hlc FROM log_origins WHERE is_self = 1"
    ).fetchone()
    no, origin, seq, digest, hlc = cast("tuple[int, str, int, bytes, int]", row)
    return Head(no, origin, seq, digest or GENESIS_HASH, hlc)

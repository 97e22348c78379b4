"""The adapters by URL scheme: the one list of them."""

from __future__ import annotations

import errno
import logging
import shutil
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import StoreFullError, StoreOpenError
from app.log.hlc import MAX_OFFSET_MS
from app.store import schema
from app.store.sqlite.adapter import Sources, SqliteOptions, SqliteStore
from app.store.sqlite.connection import FileOptions, open_writer
from app.store.sqlite.errors import translating
from app.store.sqlite.transaction import SqliteReader, SqliteTransactions
from app.store.writing.adoption import adopt, needs_adoption
from app.store.writing.port import BatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.domain.sources import DiskSync
    from app.log.epochs import EpochReason

_LOGGER = logging.getLogger(__name__)
SQLITE_SCHEME: Final = "sqlite"
_BACKUP_SUFFIX: Final = ".v070-backup"


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What an adapter must be told, whatever it is."""

    path: Path
    mmap_bytes: int
    model: str | None
    dim: int
    index_texts: bool
    new_epoch: EpochReason | None = None
    max_offset_ms: int = MAX_OFFSET_MS
    """How far ahead of this node's clock a foreign stamp may lie."""


def open_store(
    options: StoreOptions, sources: Sources, report: Callable[[str, int, int], None]
) -> SqliteStore:
    """Bring a file's schema up to date, adopt a v0.7.0 database, and open it.

    The caller holds the file's lock. `report` hears what takes long: what, done, total (0 while
    unknown).

    Raises:
        StoreOpenError: another version, another program's file, or damaged; `reason` says which.
        StoreUnavailableError: locked, read-only, or the disk is full.
    """
    path = options.path
    status = schema.inspect(path)
    if status.kind is schema.SchemaKind.V57_FOREIGN:
        _keep_a_copy(path, sources.disk_sync, report)
    schema.migrate(path, lambda sentence: report(sentence, 0, 0))
    file = FileOptions(path, mmap_bytes=options.mmap_bytes)
    _adopt(file, report, index_texts=options.index_texts)
    return SqliteStore.open(
        SqliteOptions(
            file,
            model=options.model,
            dim=options.dim,
            index_texts=options.index_texts,
            new_epoch=options.new_epoch,
            max_offset_ms=options.max_offset_ms,
        ),
        sources,
        lambda done, total: report("reading vectors", done, total),
    )


def _adopt(
    file: FileOptions, report: Callable[[str, int, int], None], *, index_texts: bool
) -> None:
    with translating(), closing(open_writer(file)) as connection:
        if not needs_adoption(SqliteReader(connection)):
            return
        try:
            with SqliteTransactions(connection, {}).begin() as transaction:
                count = adopt(
                    transaction,
                    lambda done, total: report("adopting memories", done, total),
                    index_texts=index_texts,
                )
        except BatchError as error:
            raise error.meaning from error
    _LOGGER.info("adopted %d memories of a v0.7.0 database", count)


def _keep_a_copy(path: Path, disk_sync: DiskSync, report: Callable[[str, int, int], None]) -> None:
    """A v0.7.0 file is copied whole, and the copy is on the disk, before its first change."""
    copy = path.with_name(path.name + _BACKUP_SUFFIX)
    if copy.exists():
        return
    report(f"copying the v0.7.0 database to {copy.name}", 0, 0)
    temporary = copy.with_name(copy.name + ".part")
    try:
        # The log belongs to the file: what is only in it would be lost in a copy of the file.
        with translating():
            connection = open_writer(FileOptions(path))
            connection.pragma("wal_checkpoint(TRUNCATE)")
            connection.close()
        shutil.copyfile(path, temporary)
        with temporary.open("rb") as file:
            disk_sync.file(file.fileno())
        temporary.replace(copy)
        disk_sync.directory(path.absolute().parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise StoreFullError("no room for a copy of the v0.7.0 database") from error
        raise StoreOpenError(
            f"cannot copy the v0.7.0 database: {error.strerror}", reason="unopenable"
        ) from error

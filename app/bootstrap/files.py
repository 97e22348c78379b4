"""Work on a store's file as such: copying it out, setting it back, hashing it again.

Copying and hashing need no owner: they read one snapshot beside whoever writes. Setting back
needs the file's lock.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.bootstrap.sources import SystemDisk
from app.domain.errors import StoreFullError, StoreOpenError, StoreReadOnlyError
from app.log.epochs import parse_sidecar
from app.store import schema
from app.store.sidecar import write_durably
from app.store.sqlite.backup import copy_database
from app.store.sqlite.connection import FileOptions, open_reader, open_writer
from app.store.sqlite.errors import translating
from app.store.sqlite.identity import sidecar_path
from app.store.sqlite.ownership import take
from app.store.sqlite.scrub import ScrubReport, scrub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Report = Callable[[str, int, int], None]

NO_TOKEN: Final = "0" * 32
_COPIED_BYTES: Final = 8 * 1024 * 1024
_BESIDE: Final = ("-wal", "-shm")
_CACHES: Final = (".vectors",)


def back_up(database: Path, target: Path, report: Report) -> None:
    """Copy what the store holds now into a new file, durable and whole when it has its name.

    Raises:
        StoreOpenError: there is no such store, or it is damaged.
        StoreUnavailableError: it cannot be read now, or the target not be written.
    """
    _require(database)
    partial = target.with_name(target.name + ".part")
    try:
        with translating(), closing(open_reader(FileOptions(database))) as source:
            copy_database(source, partial, lambda done, total: report("backup", done, total))
        _sync(partial)
        os.link(partial, target)  # unlike a rename, it refuses to replace an older snapshot
    except OSError as error:
        raise _translated(error, target) from error
    finally:
        partial.unlink(missing_ok=True)
        partial.with_name(partial.name + "-journal").unlink(missing_ok=True)
    SystemDisk().directory(target.parent)


def scrub_file(database: Path, report: Report) -> ScrubReport:
    """Hash every row, projection and chain again, in one snapshot.

    Raises:
        StoreOpenError: there is no such store, or it is damaged.
    """
    _require(database)
    with translating(), closing(open_reader(FileOptions(database))) as connection:
        return scrub(connection, lambda done, total: report("scrub", done, total))


def set_back(database: Path, snapshot: Path, kept: Path, report: Report) -> None:
    """Put a snapshot in the store's place; what was there is kept as `kept`.

    The node starts a new epoch at its next boot: what it wrote after the snapshot may already
    be elsewhere under numbers that must not be given away twice.

    Raises:
        StoreOpenError: the snapshot is no store of a version that can be opened, or another
            process has the store open. The store is as it was.
        StoreUnavailableError: a disk is full or cannot be written.
    """
    _require(snapshot)
    lock = take(database)
    fresh = database.with_name(database.name + ".restoring")
    try:
        _copy(snapshot, fresh, report)
        _forget_token(database)
        if database.exists():
            _set_aside(database, kept)
        fresh.replace(database)
        for suffix in _CACHES:
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        SystemDisk().directory(database.absolute().parent)
    except OSError as error:
        raise _translated(error, database) from error
    finally:
        fresh.unlink(missing_ok=True)
        lock.release()


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What a look at a store shows; `problem` is None when it can be opened."""

    kind: str
    schema_version: int | None
    problem: str | None


def look_at(database: Path) -> StoreFacts:
    """What the file is, without changing it.

    Raises:
        StoreOpenError: it cannot be read at all.
    """
    status = schema.inspect(database)
    usable = {schema.SchemaKind.OURS, schema.SchemaKind.V57_FOREIGN}
    problem = None if status.kind in usable else status.detail or f"the file is {status.kind}"
    return StoreFacts(status.kind.value, status.version, problem)


def _require(path: Path) -> None:
    """Let a store pass that this version can open."""
    if not path.is_file():
        raise StoreOpenError(f"{path} does not exist", reason="missing")
    facts = look_at(path)
    if facts.problem is not None:
        raise StoreOpenError(f"{path}: {facts.problem}", reason=facts.kind)


def _copy(source: Path, target: Path, report: Report) -> None:
    total, done = source.stat().st_size, 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(_COPIED_BYTES):
            writing.write(block)
            done += len(block)
            report("restore", done, total)
    shutil.copymode(source, target)
    _sync(target)


def _forget_token(database: Path) -> None:
    """Make the sidecar admit no store, and keep the epochs that it knows are used."""
    path = sidecar_path(database)
    sidecar = parse_sidecar(path.read_text(errors="replace")) if path.exists() else None
    if sidecar is not None:
        doubtful = replace(sidecar, boot_token=NO_TOKEN, next_boot_token=None)
        write_durably(path, doubtful.to_json(), SystemDisk())


def _set_aside(database: Path, kept: Path) -> None:
    # A damaged file cannot be folded together with its log; then its log goes aside with it.
    with suppress(StoreOpenError), translating(), closing(open_writer(FileOptions(database))) as it:
        it.pragma("wal_checkpoint(TRUNCATE)")
    os.link(database, kept)
    for suffix in _BESIDE:
        beside = database.with_name(database.name + suffix)
        if beside.exists():
            beside.replace(kept.with_name(kept.name + suffix))


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        SystemDisk().file(file.fileno())


def _translated(error: OSError, path: Path) -> Exception:
    if isinstance(error, FileExistsError):
        return StoreOpenError(f"{error.filename2 or path} exists already", reason="exists")
    text = f"{path}: {error.strerror}"
    return StoreFullError(text) if error.errno == errno.ENOSPC else StoreReadOnlyError(text)

"""One owner a file: an operating-system lock that also says how to reach the owner.

`<db>.lock` is locked by whoever has the store open and names, in JSON, its
process, its role and its control socket. The lock dies with the process; the
text in the file may be stale and is believed only while the lock is held.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from app.domain.errors import StoreFullError, StoreOpenError, StoreReadOnlyError
from app.store.sqlite.errors import translating

_SOCKET_PATH_BYTES_MAX: Final = 100
"""Room in `sockaddr_un` on every Unix (104 to 108 bytes)."""

SERVE: Final = "serve"
COMMAND: Final = "command"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a store."""

    pid: int
    role: str
    socket: str | None


class OwnedElsewhereError(StoreOpenError):
    """Another process has the store open; `owner` in the details says who, if it said so."""

    code = "STORE_OWNED"


class StoreLock:
    """The lock of one file, held until `release`."""

    def __init__(self, path: Path, descriptor: int, control_socket: Path) -> None:
        self._path = path
        self._descriptor = descriptor
        self.control_socket = control_socket

    def announce(self, owner: Owner) -> None:
        """Say who we are to those who find the lock held.

        Raises:
            StoreUnavailableError: the disk is full.
        """
        with translating():
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, (json.dumps(asdict(owner)) + "\n").encode(), 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would race with the next owner."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def lock_path(database: Path) -> Path:
    """The lock file of a store."""
    return database.with_name(database.name + ".lock")


def control_socket_path(database: Path) -> Path:
    """Where the owner listens for local commands: beside the file, or where names are shorter."""
    beside = database.absolute().with_name(database.name + ".sock")
    if len(os.fsencode(beside)) <= _SOCKET_PATH_BYTES_MAX:
        return beside
    digest = hashlib.sha256(os.fsencode(beside)).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"ai-memory-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{digest}.sock"


def take(database: Path) -> StoreLock:
    """Take the lock of a store.

    Raises:
        OwnedElsewhereError: somebody else holds it.
        StoreReadOnlyError: the folder refuses the lock file.
    """
    path = lock_path(database)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        kind = StoreFullError if error.errno == errno.ENOSPC else StoreReadOnlyError
        raise kind(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        owner = read_owner(database)
        who = "another process" if owner is None else f"{owner.role} (process {owner.pid})"
        raise OwnedElsewhereError(
            f"{database} is open in {who}", reason="owned", owner=owner
        ) from error
    return StoreLock(path, descriptor, control_socket_path(database))


def read_owner(database: Path) -> Owner | None:
    """What the lock file says; meaningful only while the lock is held by somebody."""
    try:
        fields = json.loads(lock_path(database).read_text())
        return Owner(int(fields["pid"]), str(fields["role"]), fields["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

"""How a file is opened: durable, one writer, readers that never wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from pathlib import Path

BUSY_TIMEOUT_MS: Final = 5_000
READERS: Final = 4
# Besides the readers: the writer, and the reader of the long background reads.
_CONNECTIONS: Final = READERS + 2
_STATEMENTS_CACHED: Final = 256
_WRITER_CACHE_KIB: Final = 32 * 1024
# A page that falls out is a system call away: the kernel has it. Larger ones, five times over, cost
# memory and made no recall faster.
_READER_CACHE_KIB: Final = 2 * 1024
_WAL_KEPT_BYTES: Final = 64 * 1024 * 1024
_CHECKPOINT_PAGES: Final = 4_000


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Where the file is and how it is accessed.

    `synchronous` is FULL in every product path: an acknowledged write is on the
    disk. Only the test that proves it opens a store otherwise. `mmap_bytes` is
    shared out among the connections of a store, so that it bounds the process.
    `vfs` names a registered SQLite VFS, for tests that lose what was not synced.
    """

    path: Path
    mmap_bytes: int = 268_435_456
    synchronous: str = "FULL"
    vfs: str | None = None


def open_writer(options: FileOptions) -> apsw.Connection:
    """The one connection that writes."""
    connection = apsw.Connection(
        str(options.path),
        flags=apsw.SQLITE_OPEN_READWRITE,
        vfs=options.vfs,
        statementcachesize=_STATEMENTS_CACHED,
    )
    _configure(connection, options, _WRITER_CACHE_KIB)
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", options.synchronous)
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", _WAL_KEPT_BYTES)
    return connection


def open_reader(options: FileOptions, *, makes_views: bool = False) -> apsw.Connection:
    """A connection that only reads; `makes_views` lets it declare temporary views of indexes."""
    connection = apsw.Connection(
        str(options.path),
        flags=apsw.SQLITE_OPEN_READWRITE,  # WAL readers write the shared-memory file
        vfs=options.vfs,
        statementcachesize=_STATEMENTS_CACHED,
    )
    _configure(connection, options, _READER_CACHE_KIB)
    connection.pragma("query_only", int(not makes_views))
    return connection


def _configure(connection: apsw.Connection, options: FileOptions, cache_kib: int) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("mmap_size", options.mmap_bytes // _CONNECTIONS)
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "MEMORY")
    # Partial state is legal and links are projections: v57's declared keys are not enforced.
    connection.pragma("foreign_keys", 0)

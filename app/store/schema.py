"""What an SQLite file holds, and bringing it to the schema that this version needs.

Runs before the store is opened, on the driver of the standard library. A file that is already
right costs one read-only look; a new one is made from the ladder's scripts without importing
Alembic, which is what lets a command-line call on a new file start at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from app.domain.errors import (
    AiMemoryError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from app.store.ladder import HEAD_REVISION, MIGRATIONS, REVISIONS, V57_REVISION, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Progress = Callable[[str], None]

SCHEMA_VERSION: Final = 57
UNFINISHED_MOVE: Final = "unfinished_move"
"""A table that stands in a store only while `ai-memory migrate` fills it (`app.store.moving`)."""

UNFINISHED_MOVE_FOUND: Final = (
    "holds a move that is not finished: run the same ai-memory migrate again, which goes on with"
    " it, or remove the store"
)
_BUSY_SECONDS: Final = 30.0
_RETRY_AFTER_SECONDS: Final = 5
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"


class SchemaKind(StrEnum):
    """What a file is, to us."""

    EMPTY = "empty"
    OURS = "ours"
    V57_FOREIGN = "v57_foreign"
    OLDER = "older"
    NEWER = "newer"
    NOT_A_DATABASE = "not_a_database"
    DAMAGED = "damaged"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """`version` is v0.7.0's number; `revision` our own rung, in a file that we wrote."""

    kind: SchemaKind
    version: int | None = None
    revision: str | None = None
    detail: str = ""

    @property
    def current(self) -> bool:
        """Whether the file can be opened as it is."""
        return self.kind is SchemaKind.OURS and self.revision == HEAD_REVISION


def inspect(path: Path) -> SchemaStatus:
    """Look at a file without changing it, except for undoing what a crash left half-written.

    Raises:
        StoreOpenError: the file cannot be read at all (`reason` = `unopenable`).
        StoreUnavailableError: another process holds it locked.
    """
    journal = _beside(path, "-journal")
    if not path.exists() or not (journal or _size(path)):
        return SchemaStatus(SchemaKind.EMPTY)
    # Only a connection that may write can roll back the journal of a crashed process.
    mode = "rw" if journal else "ro"
    try:
        with contextlib.closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_SECONDS
            )
        ) as connection:
            return _status(connection)
    except sqlite3.Error as error:
        if _is_damage(error):
            return _damage(path, error)
        raise _translated(error, path) from error


def migrate(path: Path, progress: Progress) -> SchemaStatus:
    """Make or bring the file to the newest schema, in one transaction; do nothing if it is there.

    A v0.7.0 file of version 57 gets our tables and our text index; its rows stay as they are.
    `progress` is told, in a sentence each, what may take long.

    Raises:
        StoreOpenError: the file is of another version, of another program, or damaged; `reason`
            in the details is the `SchemaKind`. The file is unchanged.
        StoreUnavailableError: it is locked, read-only, or the disk is full. It is unchanged.
    """
    status = inspect(path)
    if status.current:
        return status
    if status.kind not in {SchemaKind.EMPTY, SchemaKind.OURS, SchemaKind.V57_FOREIGN}:
        raise StoreOpenError(_refusal(path, status), reason=status.kind.value)
    with _translating(path):
        if status.kind is SchemaKind.EMPTY:
            _create(path)
        else:
            _climb(path, progress)
    return inspect(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise StoreOpenError(msg, reason="unopenable") from error


def _beside(path: Path, suffix: str) -> bool:
    """Whether a file of SQLite's own stands beside the database and holds something."""
    other = path.with_name(path.name + suffix)
    return other.exists() and other.stat().st_size > 0


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _damage(path: Path, error: sqlite3.Error) -> SchemaStatus:
    """Say why SQLite finds no database, from the header (file format, section 1.3)."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_MAGIC[: len(header)]):
        detail = "the file is not an SQLite database, or is encrypted"
        return SchemaStatus(SchemaKind.NOT_A_DATABASE, detail=detail)
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    missing = page_bytes * int.from_bytes(header[28:32], "big") - _size(path)
    detail = f"the file is cut short by {missing} bytes" if missing > 0 else str(error)
    return SchemaStatus(SchemaKind.DAMAGED, detail=detail)


def _status(connection: sqlite3.Connection) -> SchemaStatus:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {str(name) for (name,) in rows}
    if not tables:
        return SchemaStatus(SchemaKind.EMPTY)
    if not {"memories", "schema_version"} <= tables:
        if "memory_state" in tables:
            return SchemaStatus(SchemaKind.DAMAGED, detail="the table of memories is missing")
        detail = "the SQLite file belongs to another program"
        return SchemaStatus(SchemaKind.NOT_A_DATABASE, detail=detail)
    version = connection.execute("SELECT max(version) FROM schema_version").fetchone()[0]
    if not isinstance(version, int):
        return SchemaStatus(SchemaKind.DAMAGED, detail="the schema version is missing")
    if version == SCHEMA_VERSION:
        return _at_our_version(connection, tables)
    kind = SchemaKind.NEWER if version > SCHEMA_VERSION else SchemaKind.OLDER
    return SchemaStatus(kind, version)


def _at_our_version(connection: sqlite3.Connection, tables: set[str]) -> SchemaStatus:
    if "alembic_version" not in tables:
        return SchemaStatus(SchemaKind.V57_FOREIGN, SCHEMA_VERSION)
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        return SchemaStatus(SchemaKind.DAMAGED, detail="the schema revision is missing")
    revision = str(row[0])
    if revision not in REVISIONS:
        return SchemaStatus(SchemaKind.NEWER, SCHEMA_VERSION, revision)
    if UNFINISHED_MOVE in tables:
        return SchemaStatus(
            SchemaKind.UNFINISHED, SCHEMA_VERSION, revision, f"the file {UNFINISHED_MOVE_FOUND}"
        )
    if revision == HEAD_REVISION and (missing := _OUR_TABLES - tables):
        names = ", ".join(sorted(missing))
        return SchemaStatus(
            SchemaKind.DAMAGED, SCHEMA_VERSION, revision, f"missing tables: {names}"
        )
    return SchemaStatus(SchemaKind.OURS, SCHEMA_VERSION, revision)


_OUR_TABLES: Final = frozenset(
    {"memories_fts", "memory_links", "archived_memories", "memory_state", "record_state"}
    | {"name_claims", "log_entries", "log_origins", "store_identity"}
)
"""Those without which nothing could be served; not the whole list."""


def _create(path: Path) -> None:
    with contextlib.closing(
        sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return  # another process made it while we waited for the lock
        for revision in REVISIONS:
            for statement in script(revision, "sqlite"):
                connection.execute(statement)
        # As Alembic would have written it.
        connection.execute(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
            " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        connection.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD_REVISION,))
        connection.execute("COMMIT")


def _climb(path: Path, progress: Progress) -> None:
    """Run Alembic from the rung where the file stands. Imported late: it takes a while."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy import create_engine, event  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    # The driver would commit before DDL; so it is kept out, and the transaction begun by hand.
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS),
        poolclass=NullPool,
    )
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            status = _status(_raw(connection.connection.driver_connection))
            if status.kind is SchemaKind.V57_FOREIGN:
                command.stamp(config, V57_REVISION)
            progress(f"bringing {path.name} to schema {HEAD_REVISION}")
            command.upgrade(config, "head")
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise


def _raw(connection: object) -> sqlite3.Connection:
    assert isinstance(connection, sqlite3.Connection)
    return connection


@contextlib.contextmanager
def _translating(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: Path) -> AiMemoryError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreUnavailableError(
            f"{path} is locked by another process", retry_after_seconds=_RETRY_AFTER_SECONDS
        )
    if name.startswith("SQLITE_FULL"):
        return StoreFullError(
            f"no space left on the disk of {path}", retry_after_seconds=_RETRY_AFTER_SECONDS
        )
    if name.startswith("SQLITE_READONLY"):
        return StoreReadOnlyError(
            f"{path} cannot be written", retry_after_seconds=_RETRY_AFTER_SECONDS
        )
    if _is_damage(error):
        reason = SchemaKind.DAMAGED.value
        return StoreOpenError(f"{path} is damaged: {error}", reason=reason)
    return StoreOpenError(f"cannot open {path}: {error}", reason="unopenable")


def _refusal(path: Path, status: SchemaStatus) -> str:
    match status.kind:
        case SchemaKind.OLDER:
            return (
                f"{path} has schema version {status.version}; version {SCHEMA_VERSION} is needed:"
                " open it once with ai-memory v0.7.0, which upgrades it"
            )
        case SchemaKind.NEWER:
            made_by = status.revision or f"version {status.version}"
            return f"{path} was written by a newer ai-memory (schema {made_by}); use that one"
        case SchemaKind.NOT_A_DATABASE:
            return f"{path} is no ai-memory database: {status.detail}"
        case SchemaKind.UNFINISHED:
            return f"{path} {UNFINISHED_MOVE_FOUND}"
        case _:
            return f"{path} is damaged: {status.detail}; restore a backup"

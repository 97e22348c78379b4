"""Moving an SQLite file's store: what `app.store.moving` needs of it. The caller holds its lock."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import StoreOpenError
from app.store import schema
from app.store.ladder import HEAD_REVISION
from app.store.moving.port import Seen
from app.store.sqlite.connection import FileOptions, open_reader, open_writer
from app.store.sqlite.errors import translating
from app.store.sqlite.transaction import SqliteReader, SqliteTransactions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import apsw

    from app.store.writing.port import Transaction

_CACHES: Final = (".vectors",)


@contextmanager
def seen(path: Path) -> Iterator[Seen]:
    """A snapshot of the file, until the block ends.

    Raises:
        StoreOpenError, StoreUnavailableError: it cannot be read.
    """
    with translating(), closing(open_reader(FileOptions(path))) as connection:
        connection.execute("BEGIN")
        yield Seen(SqliteReader(connection), _digests(connection))


def require(path: Path) -> None:
    """Let pass a file that holds a whole store on this version's schema.

    Raises:
        StoreOpenError: it is none; `reason` says why.
    """
    status = schema.inspect(path)
    if status.current:
        return
    if status.kind in {schema.SchemaKind.OURS, schema.SchemaKind.V57_FOREIGN}:
        raise StoreOpenError(
            f"{path} is not on this version's schema yet: open it once, as with"
            f" ai-memory --db {path} stats",
            reason="older",
        )
    if status.kind is schema.SchemaKind.EMPTY:
        raise StoreOpenError(f"{path} holds no store", reason="missing")
    detail = status.detail or f"schema version {status.version} is not this version's"
    raise StoreOpenError(f"{path} cannot be moved: {detail}", reason=status.kind.value)


class SqliteTarget:
    """See `port.Target`."""

    def __init__(self, connection: apsw.Connection, path: Path, *, is_unfinished: bool) -> None:
        self._path = path
        self._transactions = SqliteTransactions(connection, _digests(connection))
        self.is_unfinished = is_unfinished

    def begin(self) -> AbstractContextManager[Transaction]:
        return self._transactions.begin()

    def seen(self) -> AbstractContextManager[Seen]:
        return seen(self._path)

    def clear_way(self, transaction: Transaction) -> None:
        """Nothing here is dear."""

    def settle(self) -> None:
        """Drop what a store that stood here before has left beside the file.

        Else nothing waits: rows bring their numbers with them, and digests are summed at once.
        """
        for suffix in _CACHES:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


@contextmanager
def filling(path: Path, progress: Callable[[str], None]) -> Iterator[SqliteTarget]:
    """The file as a target; made if there is none.

    Raises:
        StoreOpenError, StoreUnavailableError: as `schema.migrate`; `reason` is `unfinished` for a
            move that another version began.
    """
    status = schema.inspect(path)
    is_unfinished = status.kind is schema.SchemaKind.UNFINISHED
    if not is_unfinished:
        schema.migrate(path, progress)
    elif status.revision != HEAD_REVISION:
        raise StoreOpenError(
            f"{path}: another version of ai-memory began this move; remove the file and"
            " start again",
            reason=status.kind.value,
        )
    with translating(), closing(open_writer(FileOptions(path))) as connection:
        yield SqliteTarget(connection, path, is_unfinished=is_unfinished)


def _digests(connection: apsw.Connection) -> Mapping[int, bytes]:
    rows = connection.execute("SELECT bucket, digest FROM digest_buckets").fetchall()
    return dict(cast("list[tuple[int, bytes]]", rows))

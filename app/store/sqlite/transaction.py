"""The engine's transactions on a SQLite file: one writer, so nothing is contended."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final, cast

import apsw

from app.log.digest import EMPTY, folded
from app.store.sqlite.errors import translated
from app.store.sqlite.statements import rendered, rendered_read
from app.store.sqlite.stored import json_array
from app.store.tables import digest_buckets
from app.store.writing.port import BrokenConstraintError
from app.store.writing.statements import Insert, Replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.store.sql.selects import SqlValue
    from app.store.writing.chain import Chain
    from app.store.writing.port import Row
    from app.store.writing.statements import Read, Write

_DIGEST = Insert(digest_buckets, ("bucket", "digest"), Replace(("bucket",), ("digest",)))
_rendered = cache(rendered)
_rendered_read = cache(rendered_read)


class SqliteReader:
    """Runs the engine's reads; see `port.Reader`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def read(self, statement: Read, parameters: Sequence[SqlValue] | Sequence[Row]) -> list[Row]:
        return cast(
            "list[Row]", _rendered_read(statement).run(self._connection, parameters).fetchall()
        )


class SqliteTransaction(SqliteReader):
    """See `port.Transaction`."""

    is_shared: Final = False

    def __init__(self, connection: apsw.Connection, digests: Mapping[int, bytes]) -> None:
        super().__init__(connection)
        self._digests = digests
        self.changed_digests: dict[int, bytes] = {}
        self.rewritten_rows: list[int] = []

    def write(self, statement: Write, rows: Sequence[Row]) -> None:
        if rows:
            _rendered(statement).run(self._connection, rows)

    def resume(self, known: Chain) -> Chain:
        """Nobody else writes here: what is known is the end."""
        return known

    def add_to_digests(self, deltas: Mapping[int, bytes]) -> None:
        changed = {
            bucket: folded((self._digest(bucket), delta)) for bucket, delta in deltas.items()
        }
        self.changed_digests.update(changed)
        self.write(_DIGEST, list(changed.items()))

    def _digest(self, bucket: int) -> bytes:
        return self.changed_digests.get(bucket) or self._digests.get(bucket, EMPTY)

    def note_rewritten(self, ids: Sequence[str]) -> None:
        found = self._connection.execute(
            "SELECT rowid FROM memories WHERE id IN (SELECT value FROM json_each(?))",
            (json_array(ids),),
        )
        self.rewritten_rows.extend(cast("int", number) for (number,) in found)


class SqliteTransactions:
    """The writing connection; see `port.Transactions`."""

    rest_seconds: float | None = None

    def __init__(self, connection: apsw.Connection, digests: Mapping[int, bytes]) -> None:
        self._connection = connection
        self._digests = dict(digests)
        self.rewritten_rows: Sequence[int] = ()
        """Row numbers of `memories` whose indexed text the last transaction replaced or removed."""

    @contextmanager
    def begin(self) -> Iterator[SqliteTransaction]:
        """One transaction, durable when the block has ended."""
        try:
            with self._open() as transaction:
                yield transaction
        except apsw.ConstraintError as error:
            raise BrokenConstraintError(translated(error)) from error
        except apsw.Error as error:
            raise translated(error) from error
        self._digests.update(transaction.changed_digests)
        self.rewritten_rows = transaction.rewritten_rows

    @contextmanager
    def _open(self) -> Iterator[SqliteTransaction]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield SqliteTransaction(self._connection, self._digests)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def rest(self) -> None:
        """Nothing to do."""

"""Reading whole states, for snapshots and repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.digest import bucket_of
from app.log.state import EntityKey
from app.store.replica import StateRow, VectorRow
from app.store.tables import memory_state, memory_vectors, record_state
from app.store.writing.statements import Query, Select

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Reader, Row

_MEMORY: Final = "memory"
_FIRST_ROWS: Final = 64
_ROWS_MAX: Final = 1024
_SCANNED_ROWS: Final = 5_000
_MEMORIES: Final = Query(
    "SELECT id, state, row_hash FROM memory_state WHERE id > ? ORDER BY id LIMIT ?"
)
# Kinds are lower-case words, so every collation agrees where "memory" stands among them.
_BEFORE_MEMORIES: Final = Query(
    "SELECT kind, key, state, row_hash FROM record_state WHERE (kind, key) > (?, ?)"
    " AND kind < 'memory' ORDER BY kind, key LIMIT ?"
)
_BEHIND_MEMORIES: Final = Query(
    "SELECT kind, key, state, row_hash FROM record_state WHERE (kind, key) > (?, ?)"
    " AND kind > 'memory' ORDER BY kind, key LIMIT ?"
)
_HASHES: Final = Query("SELECT id, row_hash FROM memory_state WHERE id > ? ORDER BY id LIMIT ?")
_RECORD_HASHES: Final = Query(
    "SELECT kind, key, row_hash FROM record_state WHERE (kind, key) > (?, ?)"
    " ORDER BY kind, key LIMIT ?"
)
_MEMORIES_OF: Final = Select(memory_state, ("id", "state", "row_hash"), ("id",))
_RECORDS_OF: Final = Select(record_state, ("kind", "key", "state", "row_hash"), ("kind", "key"))
_VECTORS_OF: Final = Select(
    memory_vectors,
    ("memory_id", "stamp", "content_hash", "model", "dim", "vector"),
    ("memory_id",),
)


def states_after(
    reader: Reader, after: tuple[str, str] | None, bytes_max: int
) -> Sequence[StateRow]:
    """See `Replica.states_after`."""
    found: list[StateRow] = []
    left = bytes_max
    for row in _states(reader, after or ("", "")):
        left -= len(row.state)
        if left < 0 and found:
            break
        found.append(row)
    return found


def _states(reader: Reader, after: tuple[str, str]) -> Iterator[StateRow]:
    kind, key = after
    if kind < _MEMORY:
        for row in _rows(reader, _BEFORE_MEMORIES, after):
            yield _record(row)
    if kind <= _MEMORY:
        for row in _rows(reader, _MEMORIES, (key if kind == _MEMORY else "",)):
            yield _memory(row)
    for row in _rows(reader, _BEHIND_MEMORIES, max(after, (_MEMORY, key))):
        yield _record(row)


def _rows(reader: Reader, query: Query, key: tuple[SqlValue, ...]) -> Iterator[Row]:
    """A table's rows after a key, read in growing numbers; the key stands first in each."""
    size = _FIRST_ROWS
    while page := reader.read(query, (*key, size)):
        yield from page
        if len(page) < size:
            return
        key = tuple(page[-1][: len(key)])
        size = min(2 * size, _ROWS_MAX)


def states_of(reader: Reader, keys: Sequence[EntityKey]) -> Sequence[StateRow]:
    """See `Replica.states_of`."""
    memories = [(one.key,) for one in keys if one.kind == _MEMORY]
    others = [one for one in keys if one.kind != _MEMORY]
    return [
        *map(_memory, reader.read(_MEMORIES_OF, memories)),
        *map(_record, reader.read(_RECORDS_OF, others)),
    ]


def bucket_rows(reader: Reader, buckets: Collection[int]) -> Sequence[tuple[EntityKey, bytes]]:
    """See `Replica.bucket_rows`."""
    wanted = frozenset(buckets)
    return [(key, digest) for key, digest in _hashes(reader) if bucket_of(key) in wanted]


def _hashes(reader: Reader) -> Iterator[tuple[EntityKey, bytes]]:
    key: tuple[SqlValue, ...] = ("",)
    while page := reader.read(_HASHES, (*key, _SCANNED_ROWS)):
        for memory_id, digest in page:
            yield EntityKey(_MEMORY, cast("str", memory_id)), cast("bytes", digest)
        key = tuple(page[-1][:1])
    key = ("", "")
    while page := reader.read(_RECORD_HASHES, (*key, _SCANNED_ROWS)):
        for kind, name, digest in page:
            yield EntityKey(cast("str", kind), cast("str", name)), cast("bytes", digest)
        key = tuple(page[-1][:2])


def vectors_of(reader: Reader, ids: Sequence[str]) -> Sequence[VectorRow]:
    """See `Replica.vectors_of`."""
    rows = reader.read(_VECTORS_OF, [(one,) for one in ids])
    return [VectorRow(*cast("tuple[str, str, bytes, str, int, bytes]", row)) for row in rows]


def _memory(row: Row) -> StateRow:
    key, state, digest = cast("tuple[str, bytes, bytes]", row)
    return StateRow(_MEMORY, key, state, digest)


def _record(row: Row) -> StateRow:
    return StateRow(*cast("tuple[str, str, bytes, bytes]", row))

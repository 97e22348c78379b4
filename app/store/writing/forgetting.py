"""Dropping the states of the dead, with their tombstones and their part of the digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.digest import EMPTY, bucket_of, changed
from app.log.forgetting import FLOOR, floor_of, is_forgotten
from app.log.hlc import parse_stamp
from app.log.state import EntityKey, decode_state
from app.store.tables import memory_state, tombstones
from app.store.writing.statements import Delete, Query, Select
from app.store.writing.stored import StoredStates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.store.writing.port import Reader, Transaction

_PAGE: Final = 500
# Stamps begin with sixteen hexadecimal digits, so texts are in the order of clocks.
_OLD: Final = Query(
    "SELECT id FROM tombstones WHERE kind = 'memory' AND stamp < ? AND id > ? ORDER BY id LIMIT ?"
)
_OLDEST: Final = Query(
    "SELECT stamp FROM tombstones WHERE kind = 'memory' AND stamp < ? ORDER BY stamp LIMIT ?"
)
_STATES: Final = Select(memory_state, ("id", "state", "row_hash"), ("id",), for_change=True)
_NO_STATE: Final = Delete(memory_state, ("id",))
_NO_TOMBSTONE: Final = Delete(tombstones, ("id",))


def forget_dead(transaction: Transaction, below: int) -> None:
    """Drop whatever is dead and says nothing as new as `below`."""
    after = ""
    while page := transaction.read(_OLD, (_bound(below), after, _PAGE)):
        ids = [cast("str", memory_id) for (memory_id,) in page]
        after = ids[-1]
        drop_states(transaction, dict.fromkeys(ids, below))


def drop_states(transaction: Transaction, floors: Mapping[str, int]) -> None:
    """Drop those memories, by id, that are dead and say nothing as new as their floor."""
    deltas: dict[int, bytes] = {}
    gone: list[tuple[str]] = []
    found = transaction.read(_STATES, [(one,) for one in floors])
    for memory_id, state, row_hash in cast("list[tuple[str, bytes, bytes]]", found):
        if not is_forgotten(decode_state("memory", state), floors[memory_id]):
            continue
        bucket = bucket_of(EntityKey("memory", memory_id))
        deltas[bucket] = changed(deltas.get(bucket, EMPTY), row_hash, None)
        gone.append((memory_id,))
    transaction.write(_NO_STATE, gone)
    transaction.write(_NO_TOMBSTONE, gone)
    transaction.add_to_digests(deltas)


def tombstone_floor(reader: Reader) -> int:
    """See `Replica.tombstone_floor`."""
    return floor_of(StoredStates(reader).load_states([FLOOR]).get(FLOOR))


def oldest_tombstones(reader: Reader, below: int, limit: int) -> Sequence[int]:
    """See `Replica.oldest_tombstones`."""
    rows = cast("list[tuple[str]]", reader.read(_OLDEST, (_bound(below), limit)))
    return [parse_stamp(stamp).hlc for (stamp,) in rows]


def _bound(below: int) -> str:
    return f"{below:016x}"

"""Stored states, read for a batch: a few set-based look-ups, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from app.log.hlc import Stamp, parse_stamp
from app.log.names import Name
from app.log.state import EntityKey, decode_state
from app.store.tables import memory_state, name_claims, record_state
from app.store.writing.statements import Select

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.log.registers import Cells
    from app.store.writing.port import Reader

_MEMORIES: Final = Select(
    memory_state, ("id", "state", "row_hash", "collected"), ("id",), for_change=True
)
_RECORDS: Final = Select(
    record_state, ("kind", "key", "state", "row_hash"), ("kind", "key"), for_change=True
)
_CLAIMS: Final = Select(
    name_claims,
    ("namespace", "title", "memory_id", "stamp"),
    ("namespace", "title"),
    for_change=True,
)
_CLAIMANTS: Final = Select(name_claims, ("memory_id",), ("namespace", "title"))


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What stands in the state table beside the state."""

    row_hash: bytes
    collected: bool


class StoredStates:
    """The loader of one batch's workspace; remembers what it read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.rows: dict[EntityKey, StoredRow] = {}

    def load_states(self, keys: Iterable[EntityKey]) -> Mapping[EntityKey, Cells]:
        """The states that exist among `keys`."""
        memory_ids, others = [], []
        for key in keys:
            if key.kind == "memory":
                memory_ids.append((key.key,))
            else:
                others.append(key)
        found: dict[EntityKey, Cells] = {}
        if memory_ids:
            for memory_id, state, row_hash, collected in self._reader.read(_MEMORIES, memory_ids):
                key = EntityKey("memory", cast("str", memory_id))
                found[key] = decode_state("memory", cast("bytes", state))
                self.rows[key] = StoredRow(cast("bytes", row_hash), bool(collected))
        if others:
            for kind, name, state, row_hash in self._reader.read(_RECORDS, others):
                key = EntityKey(cast("str", kind), cast("str", name))
                found[key] = decode_state(key.kind, cast("bytes", state))
                self.rows[key] = StoredRow(cast("bytes", row_hash), collected=False)
        return found

    def claimants(self, names: Iterable[Name]) -> Sequence[str]:
        """Memories that claim one of `names` now; another writer may change that."""
        found = self._reader.read(_CLAIMANTS, list(dict.fromkeys(names)))
        return [cast("str", memory_id) for (memory_id,) in found]

    def load_claims(self, names: Iterable[Name]) -> Mapping[Name, Mapping[str, Stamp]]:
        """Every live claim on each of `names`."""
        found: dict[Name, dict[str, Stamp]] = {}
        for namespace, title, memory_id, stamp in self._reader.read(_CLAIMS, list(names)):
            name = Name(cast("str", namespace), cast("str", title))
            claims = found.setdefault(name, {})
            claims[cast("str", memory_id)] = parse_stamp(cast("str", stamp))
        return found

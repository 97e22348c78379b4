"""Stored states, read for a batch: a few set-based look-ups, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import msgspec

from app.log.hlc import Stamp, parse_stamp
from app.log.names import Name
from app.log.state import EntityKey, decode_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import apsw

    from app.log.registers import Cells

_MEMORIES: Final = (
    "SELECT id, state, row_hash, collected FROM memory_state"
    " WHERE id IN (SELECT value FROM json_each(?))"
)
_RECORDS: Final = (
    "SELECT r.kind, r.key, r.state, r.row_hash FROM json_each(?) AS wanted"
    " JOIN record_state AS r ON r.kind = wanted.value ->> 0 AND r.key = wanted.value ->> 1"
)
_CLAIMS: Final = (
    "SELECT c.namespace, c.title, c.memory_id, c.stamp FROM json_each(?) AS wanted"
    " JOIN name_claims AS c"
    " ON c.namespace = wanted.value ->> 0 AND c.title = wanted.value ->> 1"
)
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What stands in the state table beside the state."""

    row_hash: bytes
    collected: bool


class StoredStates:
    """The loader of one batch's workspace; remembers what it read."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.rows: dict[EntityKey, StoredRow] = {}

    def load_states(self, keys: Iterable[EntityKey]) -> Mapping[EntityKey, Cells]:
        """The states that exist among `keys`."""
        memory_ids, others = [], []
        for key in keys:
            if key.kind == "memory":
                memory_ids.append(key.key)
            else:
                others.append(key)
        found: dict[EntityKey, Cells] = {}
        if memory_ids:
            for memory_id, state, row_hash, collected in self._connection.execute(
                _MEMORIES, (json_array(memory_ids),)
            ):
                key = EntityKey("memory", cast("str", memory_id))
                found[key] = decode_state("memory", cast("bytes", state))
                self.rows[key] = StoredRow(cast("bytes", row_hash), bool(collected))
        if others:
            for kind, name, state, row_hash in self._connection.execute(
                _RECORDS, (json_array(others),)
            ):
                key = EntityKey(cast("str", kind), cast("str", name))
                found[key] = decode_state(key.kind, cast("bytes", state))
                self.rows[key] = StoredRow(cast("bytes", row_hash), collected=False)
        return found

    def load_claims(self, names: Iterable[Name]) -> Mapping[Name, Mapping[str, Stamp]]:
        """Every live claim on each of `names`."""
        found: dict[Name, dict[str, Stamp]] = {}
        for namespace, title, memory_id, stamp in self._connection.execute(
            _CLAIMS, (json_array(list(names)),)
        ):
            name = Name(cast("str", namespace), cast("str", title))
            claims = found.setdefault(name, {})
            claims[cast("str", memory_id)] = parse_stamp(cast("str", stamp))
        return found


def json_array(values: object) -> str:
    """A JSON array, for `json_each`."""
    return _ENCODER.encode(values).decode()

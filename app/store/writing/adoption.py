"""Taking over the rows of v0.7.0: they become states, stamped with their own times.

No log entry is written: two nodes that adopt the same rows get the same states, whatever database
they found them in, and peers learn them by snapshot or repair. The rows themselves stay as they
stand; whoever calls this has made sure that the database can be had back as it was.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import EntryRefusedError
from app.domain.text import equal_text_key
from app.domain.timestamps import TimestampError, epoch_milliseconds, parse_instant
from app.log.digest import EMPTY, bucket_of, changed
from app.log.hlc import Stamp, pack
from app.log.kinds.alias import alias_key
from app.log.kinds.links import link_effect
from app.log.kinds.memory_writes import memory_effect
from app.log.names import claim_of
from app.log.projection import registers
from app.log.registers import Written
from app.log.state import ARCHIVED, LIVE, EntityKey, encode_state, row_hash
from app.store.sql.memories import MEMORY_COLUMNS, memory_of
from app.store.tables import (
    archived_memories,
    entity_aliases,
    memories,
    memory_links,
    memory_state,
    name_claims,
    namespace_meta,
    record_state,
    text_duplicates,
)
from app.store.writing.pages import count, listing, pages
from app.store.writing.statements import Insert, Keep, Query, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Table

    from app.domain.memory import Memory
    from app.log.canonical import Value
    from app.log.registers import Cell, Cells
    from app.store.sql.selects import Record, SqlValue
    from app.store.writing.port import Changes, Reader

_LOGGER = logging.getLogger(__name__)
ADOPTED_ORIGIN: Final = "v070"
_PAGE_ROWS: Final = 500
_TIERS: Final = ("short", "mid", "long")

_UNADOPTED: Final = Query(
    "SELECT EXISTS (SELECT 1 FROM memories) OR EXISTS (SELECT 1 FROM archived_memories),"
    " EXISTS (SELECT 1 FROM memory_state), EXISTS (SELECT 1 FROM store_identity)"
)
_MEMORY_COLUMNS: Final = (*(one.name for one in MEMORY_COLUMNS), "atomised_into", "atom_of")
_ARCHIVE_COLUMNS: Final = (
    *_MEMORY_COLUMNS,
    *("archived_at", "archive_reason", "original_tier", "original_expires_at"),
)
_LIVE: Final = Select(memories, ("id",), ("id",))
_STATE: Final = Insert(memory_state, ("id", "state", "row_hash"))
_RECORD: Final = Insert(record_state, ("kind", "key", "state", "row_hash"))
_CLAIM: Final = Insert(name_claims, ("namespace", "title", "memory_id", "stamp"))
_TEXT: Final = Insert(text_duplicates, ("text_hash", "memory_id"), Keep())

States = list[tuple[EntityKey, "Mapping[str, Cell] | Cells"]]


def needs_adoption(reader: Reader) -> bool:
    """Whether rows stand here that no state describes."""
    ((has_rows, has_states, has_identity),) = reader.read(_UNADOPTED, ())
    return bool(has_rows) and not has_states and not has_identity


def adopt(transaction: Changes, progress: Callable[[int, int], None], *, index_texts: bool) -> int:
    """Describe every row by a state; returns how many memories were looked at.

    A row that no entry could have written stays as it stands and can be read; `doctor --scrub`
    names it.

    Args:
        transaction: All of it is one.
        progress: Told (done, total) memories.
        index_texts: Whether near duplicates are found by their text.
    """
    return _Adoption(transaction, progress, index_texts=index_texts).run()


class _Adoption:
    def __init__(
        self,
        transaction: Changes,
        progress: Callable[[int, int], None],
        *,
        index_texts: bool,
    ) -> None:
        self._transaction = transaction
        self._progress = progress
        self._index_texts = index_texts
        self._digests: dict[int, bytes] = {}
        self._done = 0

    def run(self) -> int:
        total = sum(count(self._transaction, one) for one in (memories, archived_memories))
        for page in self._pages(memories, _MEMORY_COLUMNS):
            self._memories(page, archived=False)
            self._advance(len(page), total)
        for page in self._pages(archived_memories, _ARCHIVE_COLUMNS):
            self._memories(self._only_archived(page), archived=True)
            self._advance(len(page), total)
        for page in self._pages(memory_links):
            self._records([state for record in page for state in _link(record)])
        for page in self._pages(entity_aliases):
            self._records([_alias(record) for record in page])
        for page in self._pages(namespace_meta):
            self._records([_standard(record) for record in page])
        self._transaction.add_to_digests(self._digests)
        return self._done

    def _pages(
        self, table: Table, columns: tuple[str, ...] | None = None
    ) -> Iterator[list[Record]]:
        listed = listing(table, columns)
        for page in pages(self._transaction, listed, None, _PAGE_ROWS):
            yield [dict(zip(listed.columns, row, strict=True)) for row in page]

    def _advance(self, rows: int, total: int) -> None:
        self._done += rows
        self._progress(self._done, total)

    def _only_archived(self, page: list[Record]) -> list[Record]:
        """Without those that are live as well: of two rows for one memory the live one counts."""
        live = {row[0] for row in self._transaction.read(_LIVE, [(one["id"],) for one in page])}
        return [one for one in page if one["id"] not in live]

    def _memories(self, records: list[Record], *, archived: bool) -> None:
        states: States = []
        claims: list[tuple[SqlValue, ...]] = []
        texts: list[tuple[SqlValue, ...]] = []
        for record in records:
            memory = memory_of(record)
            stamp = _stamp(memory.updated_at)
            written = _registers(memory, record, archived=archived)
            try:
                effect = memory_effect({"id": memory.id, "registers": written}, stamp)
            except EntryRefusedError as error:
                _LOGGER.warning("memory %s was not adopted: %s", memory.id, error.message)
                continue
            states.append((effect.key, effect.cells))
            claim = claim_of(memory.id, effect.cells)
            if claim is not None:
                claims.append((*claim[0], memory.id, claim[1].stamp.text()))
            if self._index_texts and not archived:
                texts.append((equal_text_key(memory.content), memory.id))
        self._transaction.write(
            _STATE, [(key.key, state, digest) for key, state, digest in self._encoded(states)]
        )
        self._transaction.write(_CLAIM, claims)
        self._transaction.write(_TEXT, texts)

    def _records(self, states: States) -> None:
        self._transaction.write(
            _RECORD,
            [(key.kind, key.key, state, digest) for key, state, digest in self._encoded(states)],
        )

    def _encoded(self, states: States) -> Iterator[tuple[EntityKey, bytes, bytes]]:
        for key, cells in states:
            state = encode_state(cells)
            digest = row_hash(key, state)
            bucket = bucket_of(key)
            self._digests[bucket] = changed(self._digests.get(bucket, EMPTY), None, digest)
            yield key, state, digest


def _registers(memory: Memory, record: Record, *, archived: bool) -> dict[str, Value]:
    written = registers(memory)
    if archived:
        written["life"] = [
            0,
            ARCHIVED,
            cast("str", record["archive_reason"]),
            cast("str", record["archived_at"]),
        ]
        original_tier = cast("str | None", record["original_tier"])
        original_expiry = cast("str | None", record["original_expires_at"])
        if original_tier in _TIERS:
            written["tier"] = [_TIERS.index(original_tier), memory.access_count]
        written["expires"] = original_expiry or memory.expires_at
    atoms: list[Value] = [
        cast("int | None", record["atomised_into"]),
        cast("str | None", record["atom_of"]),
    ]
    if atoms != [None, None]:
        written["atoms"] = atoms
    return written


def _link(record: Record) -> States:
    stamp = _stamp(cast("str", record["created_at"]))
    try:
        effect = link_effect(dict(record), stamp)
    except EntryRefusedError as error:
        _LOGGER.warning("a link of %s was not adopted: %s", record["source_id"], error.message)
        return []
    return [(effect.key, effect.cells)]


def _alias(record: Record) -> tuple[EntityKey, Mapping[str, Cell]]:
    created_at = cast("str", record["created_at"])
    stamp = _stamp(created_at)
    key = alias_key(cast("str", record["entity_id"]), cast("str", record["alias"]))
    return key, {"life": Written(LIVE, stamp), "created": Written(created_at, stamp)}


def _standard(record: Record) -> tuple[EntityKey, Mapping[str, Cell]]:
    updated_at = cast("str", record["updated_at"])
    binding: list[Value] = [
        cast("str", record["standard_id"]),
        cast("str | None", record["parent_namespace"]),
        updated_at,
    ]
    key = EntityKey("standard", cast("str", record["namespace"]))
    return key, {"binding": Written(binding, _stamp(updated_at))}


def _stamp(text: str) -> Stamp:
    try:
        milliseconds = epoch_milliseconds(parse_instant(text))
    except TimestampError:
        milliseconds = 0
    return Stamp(pack(max(0, milliseconds)), ADOPTED_ORIGIN)

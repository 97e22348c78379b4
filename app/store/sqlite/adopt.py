"""Taking over a v0.7.0 database: its rows become states, stamped with their own times.

No log entry is written: two nodes that adopt the same rows get the same states,
and peers learn them by snapshot or repair (decisions on an existing v57
database). The caller has made a backup copy; here everything is one transaction.
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
from app.store.sql.memories import memory_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import apsw

    from app.log.canonical import Value
    from app.log.registers import Cell, Cells
    from app.store.sql.selects import Record

_LOGGER = logging.getLogger(__name__)
ADOPTED_ORIGIN: Final = "v070"
_PROGRESS_STEP: Final = 500
_V57_LINK: Final = (
    "SELECT source_id, target_id, relation, created_at, valid_from, valid_until, observed_by,"
    " signature, attest_level FROM memory_links"
)


def needs_adoption(connection: apsw.Connection) -> bool:
    """Whether rows stand here that no state describes."""
    row = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM memories) OR EXISTS (SELECT 1 FROM archived_memories),"
        " EXISTS (SELECT 1 FROM memory_state), EXISTS (SELECT 1 FROM store_identity)"
    ).fetchone()
    has_rows, has_states, has_identity = cast("tuple[int, int, int]", row)
    return bool(has_rows) and not has_states and not has_identity


def adopt(
    connection: apsw.Connection, progress: Callable[[int, int], None], *, index_texts: bool
) -> int:
    """Describe every row by a state; returns how many memories there are."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        adoption = _Adoption(connection, progress, index_texts=index_texts)
        count = adoption.run()
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return count


class _Adoption:
    def __init__(
        self,
        connection: apsw.Connection,
        progress: Callable[[int, int], None],
        *,
        index_texts: bool,
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._index_texts = index_texts
        self._digests: dict[int, bytes] = {}

    def run(self) -> int:
        total = sum(_count(self._connection, one) for one in ("memories", "archived_memories"))
        done = 0
        for table in ("memories", "archived_memories"):
            for record in self._records(f"SELECT * FROM {table}"):  # noqa: S608 - own names
                self._memory(record, archived=table == "archived_memories")
                done += 1
                if done % _PROGRESS_STEP == 0 or done == total:
                    self._progress(done, total)
        for record in self._records(_V57_LINK):
            self._link(record)
        for record in self._records("SELECT entity_id, alias, created_at FROM entity_aliases"):
            self._alias(record)
        for record in self._records(
            "SELECT namespace, standard_id, parent_namespace, updated_at FROM namespace_meta"
        ):
            self._standard(record)
        self._connection.executemany(
            "INSERT INTO digest_buckets (bucket, digest) VALUES (?, ?)"
            " ON CONFLICT (bucket) DO UPDATE SET digest = excluded.digest",
            list(self._digests.items()),
        )
        return done

    def _records(self, statement: str) -> Iterator[Record]:
        cursor = self._connection.execute(statement)
        names: list[str] | None = None
        for row in cursor.fetchall():
            if names is None:
                names = [str(column[0]) for column in self._columns(statement)]
            yield cast("Record", dict(zip(names, row, strict=True)))

    def _columns(self, statement: str) -> tuple[tuple[str, str], ...]:
        return self._connection.execute(f"SELECT * FROM ({statement}) LIMIT 1").get_description()  # noqa: S608 - own text

    def _memory(self, record: Record, *, archived: bool) -> None:
        memory = memory_of(record)
        stamp = _stamp(memory.updated_at)
        written = registers(memory)
        if archived:
            written["life"] = [
                0,
                ARCHIVED,
                cast("str", record["archive_reason"]),
                cast("str", record["archived_at"]),
            ]
            original_tier = cast("str | None", record.get("original_tier"))
            original_expiry = cast("str | None", record.get("original_expires_at"))
            if original_tier is not None:
                written["tier"] = [
                    ("short", "mid", "long").index(original_tier),
                    memory.access_count,
                ]
            written["expires"] = original_expiry or memory.expires_at
        atoms: list[Value] = [
            cast("int | None", record["atomised_into"]),
            cast("str | None", record["atom_of"]),
        ]
        if atoms != [None, None]:
            written["atoms"] = atoms
        try:
            effect = memory_effect({"id": memory.id, "registers": written}, stamp)
        except EntryRefusedError as error:
            # The row stays as it stands and can be read; `doctor --scrub` names it.
            _LOGGER.warning("memory %s was not adopted: %s", memory.id, error.message)
            return
        self._state(effect.key, effect.cells)
        claim = claim_of(memory.id, effect.cells)
        if claim is not None:
            self._connection.execute(
                "INSERT INTO name_claims (namespace, title, memory_id, stamp) VALUES (?, ?, ?, ?)",
                (*claim[0], memory.id, claim[1].stamp.text()),
            )
        if self._index_texts and not archived:
            self._connection.execute(
                "INSERT INTO text_duplicates (text_hash, memory_id) VALUES (?, ?)"
                " ON CONFLICT DO NOTHING",
                (equal_text_key(memory.content), memory.id),
            )

    def _link(self, record: Record) -> None:
        stamp = _stamp(cast("str", record["created_at"]))
        try:
            effect = link_effect(dict(record), stamp)
        except EntryRefusedError as error:
            _LOGGER.warning("a link of %s was not adopted: %s", record["source_id"], error.message)
            return
        self._state(effect.key, effect.cells)

    def _alias(self, record: Record) -> None:
        created_at = cast("str", record["created_at"])
        stamp = _stamp(created_at)
        key = alias_key(cast("str", record["entity_id"]), cast("str", record["alias"]))
        self._state(key, {"life": Written(LIVE, stamp), "created": Written(created_at, stamp)})

    def _standard(self, record: Record) -> None:
        updated_at = cast("str", record["updated_at"])
        binding: list[Value] = [
            cast("str", record["standard_id"]),
            cast("str | None", record["parent_namespace"]),
            updated_at,
        ]
        key = EntityKey("standard", cast("str", record["namespace"]))
        self._state(key, {"binding": Written(binding, _stamp(updated_at))})

    def _state(self, key: EntityKey, cells: Mapping[str, Cell] | Cells) -> None:
        state = encode_state(cells)
        digest = row_hash(key, state)
        bucket = bucket_of(key)
        self._digests[bucket] = changed(self._digests.get(bucket, EMPTY), None, digest)
        if key.kind == "memory":
            self._connection.execute(
                "INSERT INTO memory_state (id, state, row_hash) VALUES (?, ?, ?)",
                (key.key, state, digest),
            )
        else:
            self._connection.execute(
                "INSERT INTO record_state (kind, key, state, row_hash) VALUES (?, ?, ?, ?)",
                (key.kind, key.key, state, digest),
            )


def _count(connection: apsw.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - own names
    return cast("int", row[0]) if row else 0


def _stamp(text: str) -> Stamp:
    try:
        milliseconds = epoch_milliseconds(parse_instant(text))
    except TimestampError:
        milliseconds = 0
    return Stamp(pack(max(0, milliseconds)), ADOPTED_ORIGIN)

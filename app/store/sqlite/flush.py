"""What a batch changed, written set by set: states, projections, names, digests, the log.

Everything is in the transaction that the writer holds open. The order of the
statements matters in one place only: rows that give a name up are written
before rows that take it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.domain.text import equal_text_key
from app.log.digest import EMPTY, bucket_of, changed
from app.log.names import claim_of
from app.log.projection import (
    Snapshot,
    life_of,
    snapshot,
)
from app.log.registers import Written
from app.log.state import DELETED, LIVE, PURGED, EntityKey, encode_state, row_hash
from app.store.sqlite import rows
from app.store.sqlite.erasure import blank_payloads
from app.store.sqlite.record_rows import write_records
from app.store.sqlite.shown import Shown
from app.store.sqlite.statements import insert_text, replacing, update_text
from app.store.sqlite.stored import json_array
from app.store.sqlite.vector_rows import drop_stale_vectors, restore_embeddings, write_vectors
from app.store.tables import (
    archived_memories,
    digest_buckets,
    log_entries,
    memories,
    memory_state,
    name_claims,
    record_state,
    text_duplicates,
    tombstones,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import apsw

    from app.log.entry import Entry
    from app.log.registers import Cells
    from app.log.workspace import Workspace
    from app.store.sql.selects import SqlValue
    from app.store.sqlite.stored import StoredStates

LITTLE_ENDIAN_FLOATS: Final = b"\x01"
"""Header byte of the `embedding` column (schema-v57 1.1)."""


_STATE: Final = insert_text(
    memory_state,
    ("id", "state", "row_hash", "collected"),
    replacing(("id",), ("state", "row_hash", "collected")),
)
_RECORD: Final = insert_text(
    record_state,
    ("kind", "key", "state", "row_hash"),
    replacing(("kind", "key"), ("state", "row_hash")),
)
_MEMORY_COLUMNS: Final = ("id", *rows.INDEXED_COLUMNS, *rows.PLAIN_COLUMNS)
_NEW_MEMORY: Final = insert_text(memories, _MEMORY_COLUMNS)
_WHOLE_MEMORY: Final = update_text(memories, "id", (*rows.INDEXED_COLUMNS, *rows.PLAIN_COLUMNS))
_PLAIN_MEMORY: Final = update_text(memories, "id", rows.PLAIN_COLUMNS)
_TOUCHED_MEMORY: Final = update_text(memories, "id", rows.TOUCHED_COLUMNS)
_ARCHIVED: Final = insert_text(
    archived_memories,
    (*_MEMORY_COLUMNS, *rows.ARCHIVE_COLUMNS),
    replacing(("id",), (*_MEMORY_COLUMNS[1:], *rows.ARCHIVE_COLUMNS)),
)
_CLAIM: Final = insert_text(
    name_claims,
    ("namespace", "title", "memory_id", "stamp"),
    replacing(("namespace", "title", "memory_id"), ("stamp",)),
)
_TOMBSTONE: Final = insert_text(
    tombstones,
    ("id", "kind", "stamp", "deleted_at"),
    replacing(("id",), ("stamp", "deleted_at")),
)
_DIGEST: Final = insert_text(
    digest_buckets, ("bucket", "digest"), replacing(("bucket",), ("digest",))
)
_ENTRY: Final = insert_text(
    log_entries,
    ("origin_no", "seq", "hlc", "kind", "header", "payload", "payload_hash", "hash"),
)
_TEXT: Final = insert_text(text_duplicates, ("text_hash", "memory_id"), "ON CONFLICT DO NOTHING")
# A name that no client can give: titles hold no control characters.
_PARK: Final = (
    "UPDATE memories SET title = char(1) || id WHERE id IN (SELECT value FROM json_each(?))"
)


@dataclass(slots=True)
class FlushReport:
    """What followers inside this process want to know of a committed batch."""

    text_rows: list[int] = field(default_factory=list)
    """Row numbers of `memories` whose indexed text was replaced or removed."""
    unembedded: list[str] = field(default_factory=list)
    """Memories whose text is new."""
    embedded: list[str] = field(default_factory=list)
    """Memories that got a current vector."""
    gone: list[str] = field(default_factory=list)
    """Memories that left the live table."""
    namespaces: set[str] = field(default_factory=set)
    """Namespaces whose set of rows or vectors changed."""
    purged: list[str] = field(default_factory=list)


class Flush:
    """Writes one batch. Built anew for each."""

    def __init__(
        self,
        connection: apsw.Connection,
        workspace: Workspace,
        stored: StoredStates,
        digests: dict[int, bytes],
        now: str,
        *,
        index_texts: bool,
        model: str | None,
    ) -> None:
        self._connection = connection
        self._workspace = workspace
        self._stored = stored
        self._digests = digests
        self._now = now
        self._index_texts = index_texts
        self._model = model
        self.changed_digests: dict[int, bytes] = {}
        self.report = FlushReport()

    def write_entries(self, entries: Sequence[tuple[int, Entry]]) -> None:
        """The log rows, (origin number, entry) in order."""
        _ENTRY.run(
            self._connection,
            [
                (no, e.seq, e.hlc, e.kind, e.header, e.payload, e.payload_hash, e.hash)
                for no, e in entries
            ],
        )

    def write_states(self, collected: Mapping[str, bool]) -> None:
        """States, their projections, names, digests and vectors.

        `collected` are expired memories to move out of the live table: id → keep a copy.
        """
        memory_rows: list[tuple[SqlValue, ...]] = []
        records: list[tuple[SqlValue, ...]] = []
        shown: list[Shown] = []
        for key, before in self._workspace.changes().items():
            cells = cast("Cells", self._workspace.cells(key))
            state = encode_state(cells)
            digest = row_hash(key, state)
            old = self._stored.rows.get(key)
            self._count(key, old.row_hash if old else None, digest)
            if key.kind != "memory":
                records.append((key.kind, key.key, state, digest))
                continue
            row = self._shown(key.key, before, collected_before=old.collected if old else False)
            shown.append(row)
            memory_rows.append((key.key, state, digest, int(row.collected)))
        _STATE.run(self._connection, memory_rows)
        _RECORD.run(self._connection, records)
        self._write_claims()
        shown.extend(self._rivals())
        shown.extend(self._collected(collected))
        self._write_memories(shown)
        self._write_deaths(shown)
        write_records(self._connection, self._workspace)
        if self._index_texts:
            self._write_texts(shown)
        drop_stale_vectors(self._connection, shown)
        self._keep_vectors()
        _DIGEST.run(self._connection, list(self.changed_digests.items()))

    def _count(self, key: EntityKey, old: bytes | None, new: bytes | None) -> None:
        bucket = bucket_of(key)
        current = self.changed_digests.get(bucket) or self._digests.get(bucket, EMPTY)
        self.changed_digests[bucket] = changed(current, old, new)

    def _shown(self, memory_id: str, before: Cells | None, *, collected_before: bool) -> Shown:
        old = snapshot(memory_id, before) if before is not None else None
        new = self._workspace.snapshot(memory_id)
        # A row that this node moved out as expired comes back when it no longer is.
        collected = collected_before and new is not None and new.is_expired(self._now)
        claim = self._workspace.claim(memory_id)
        return Shown(
            memory_id,
            old,
            new,
            rows.lives_in(old, collected=collected_before),
            rows.lives_in(new, collected=collected),
            collected,
            contested=claim is not None and claim[0] in self._workspace.contested(),
        )

    def _rivals(self) -> list[Shown]:
        """Memories whose state stands but whose name's winner changed: they show differently."""
        changes = self._workspace.changes()
        found: dict[str, Shown] = {}
        for name in self._workspace.contested():
            for memory_id in self._workspace.claims(name):
                key = EntityKey("memory", memory_id)
                if key in changes or memory_id in found:
                    continue
                new = self._workspace.snapshot(memory_id)
                collected = self._stored.rows[key].collected
                place = rows.lives_in(new, collected=collected)
                # `old` is unknown here (it depended on the old winner), so all is rewritten.
                found[memory_id] = Shown(memory_id, None, new, place, place, collected)
        return list(found.values())

    def _collected(self, ids: Mapping[str, bool]) -> list[Shown]:
        """Expired rows on their way out; their state stands, only where it shows changes."""
        moving: list[Shown] = []
        changes = self._workspace.changes()
        for memory_id, archive in ids.items():
            key = EntityKey("memory", memory_id)
            new = self._workspace.snapshot(memory_id)
            if key in changes or new is None or not new.is_expired(self._now):
                continue  # changed in this very batch: the next collection looks again
            place = "archived_memories" if archive else None
            moving.append(Shown(memory_id, new, new, "memories", place, True, contested=False))
        if moving:
            self._connection.execute(
                "UPDATE memory_state SET collected = 1"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (json_array([row.id for row in moving]),),
            )
        return moving

    def _write_claims(self) -> None:
        gone: list[tuple[str, str, str]] = []
        made: list[tuple[SqlValue, ...]] = []
        for key, before in self._workspace.changes().items():
            if key.kind != "memory":
                continue
            old, new = claim_of(key.key, before), self._workspace.claim(key.key)
            if old is not None and (new is None or new[0] != old[0]):
                gone.append((*old[0], key.key))
            if new is not None and new != old:
                made.append((*new[0], key.key, new[1].stamp.text()))
        if gone:
            self._connection.executemany(
                "DELETE FROM name_claims WHERE namespace = ? AND title = ? AND memory_id = ?",
                gone,
            )
        _CLAIM.run(self._connection, made)

    # -- projections of memories -----------------------------------------------------------

    def _write_memories(self, shown: Sequence[Shown]) -> None:
        self._note(shown)
        for table in ("memories", "archived_memories"):
            gone = [row.id for row in shown if row.was == table and row.place != table]
            if gone:
                self._connection.execute(
                    f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608 - own names
                    (json_array(gone),),
                )
        live = [row for row in shown if row.place == "memories" and row.new is not None]
        fresh = [row for row in live if row.was != "memories"]
        whole = [row for row in live if row.was == "memories" and row.text_changed()]
        plain = [row for row in live if row.was == "memories" and not row.text_changed()]
        touched = [row for row in plain if row.only_touched()]
        plain = [row for row in plain if not row.only_touched()]
        moved = [row.id for row in whole if row.name_changed()]
        if len(moved) + len(fresh) > 1 and moved:
            # Names may change hands inside the batch: park them, so no order can collide.
            self._connection.execute(_PARK, (json_array(moved),))
        self._make_way([*whole, *fresh])
        _WHOLE_MEMORY.run(self._connection, [row.whole() for row in whole])
        _NEW_MEMORY.run_in_fewest(self._connection, [row.whole() for row in fresh])
        _PLAIN_MEMORY.run(self._connection, [row.plain() for row in plain])
        _TOUCHED_MEMORY.run(self._connection, [row.touched() for row in touched])
        _ARCHIVED.run(
            self._connection,
            [
                (*row.whole(), *rows.archive_values(row.new))
                for row in shown
                if row.place == "archived_memories" and row.new is not None
            ],
        )
        restore_embeddings(self._connection, [row.id for row in fresh if row.old is not None])

    def _note(self, shown: Sequence[Shown]) -> None:
        report = self.report
        rewritten: list[str] = []
        for row in shown:
            here, was_here = row.place == "memories", row.was == "memories"
            if was_here and (not here or row.text_changed()):
                rewritten.append(row.id)
            if here and row.new is not None:
                if not was_here or row.meaning_changed():
                    report.unembedded.append(row.id)
                if not was_here or row.name_changed():
                    report.namespaces.add(row.new.memory.namespace)
            elif was_here:
                report.gone.append(row.id)
            if row.old is not None and (not here or row.name_changed()):
                report.namespaces.add(row.old.memory.namespace)
        if rewritten:
            report.text_rows.extend(
                cast("int", number)
                for (number,) in self._connection.execute(
                    "SELECT rowid FROM memories WHERE id IN (SELECT value FROM json_each(?))",
                    (json_array(rewritten),),
                )
            )

    def _make_way(self, taking: Sequence[Shown]) -> None:
        """Rename a loser whose aliased title somebody now really takes; its id makes it unique."""
        names: list[Sequence[str]] = []
        for row in taking:
            memory = cast("Snapshot", row.new).memory
            if " ~" in memory.title:
                names.append((memory.namespace, memory.title, memory.id))
        if names:
            self._connection.execute(
                "UPDATE memories SET title = memories.title || substr(memories.id, 9)"
                " FROM json_each(?) AS taken WHERE memories.title = taken.value ->> 1"
                " AND memories.namespace = taken.value ->> 0 AND memories.id <> taken.value ->> 2",
                (json_array(names),),
            )

    def _write_deaths(self, shown: Sequence[Shown]) -> None:
        dead: list[tuple[SqlValue, ...]] = []
        revived: list[str] = []
        for row in shown:
            cells = self._workspace.cells(EntityKey("memory", row.id)) or {}
            life = cells.get("life")
            word = life_of(cells)
            if word in {DELETED, PURGED} and isinstance(life, Written):
                at = cast("list[str | None]", life.value)[3] or self._now
                dead.append((row.id, "memory", life.stamp.text(), at))
                if word == PURGED:
                    self.report.purged.append(row.id)
            elif row.old is not None and row.old.life == DELETED:
                revived.append(row.id)
        _TOMBSTONE.run(self._connection, dead)
        if self.report.purged:
            blank_payloads(self._connection, self.report.purged)
        for ids, statement in (
            (revived, "DELETE FROM tombstones WHERE id IN (SELECT value FROM json_each(?))"),
            (
                [one[0] for one in dead],
                "DELETE FROM memory_vectors WHERE memory_id IN (SELECT value FROM json_each(?))",
            ),
        ):
            if ids:
                self._connection.execute(statement, (json_array(ids),))

    def _write_texts(self, shown: Sequence[Shown]) -> None:
        gone = [row.id for row in shown if row.old is not None and row.content_changed()]
        if gone:
            self._connection.execute(
                "DELETE FROM text_duplicates WHERE memory_id IN (SELECT value FROM json_each(?))",
                (json_array(gone),),
            )
        _TEXT.run(
            self._connection,
            [
                (equal_text_key(row.new.memory.content), row.id)
                for row in shown
                if row.new is not None and row.new.life == LIVE and row.content_changed()
            ],
        )

    def _keep_vectors(self) -> None:
        for vector in write_vectors(self._connection, self._workspace, self._model):
            self.report.embedded.append(vector.memory_id)
            found = self._workspace.snapshot(vector.memory_id)
            if found is not None:
                self.report.namespaces.add(found.memory.namespace)

"""What a batch changed, written set by set: states, projections, names, digests, the log.

Everything is in the transaction that the writer holds open. The order of the
statements matters in one place only: rows that give a name up are written
before rows that take it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from app.domain.text import equal_text_key
from app.log.digest import EMPTY, bucket_of, changed
from app.log.forgetting import FLOOR, floor_of
from app.log.names import claim_of
from app.log.projection import (
    Snapshot,
    life_of,
    snapshot,
    text_stamp,
)
from app.log.registers import Written
from app.log.state import DELETED, LIVE, PURGED, EntityKey, encode_state, row_hash
from app.store.tables import (
    archived_memories,
    log_entries,
    memories,
    memory_state,
    name_claims,
    record_state,
    text_duplicates,
    tombstones,
)
from app.store.writing import rows
from app.store.writing.erasure import blank_payloads
from app.store.writing.forgetting import drop_states, forget_dead
from app.store.writing.record_rows import write_records
from app.store.writing.shown import Shown
from app.store.writing.statements import Delete, Insert, Keep, Replace, Select, Update
from app.store.writing.vector_rows import (
    NO_VECTOR,
    drop_stale_vectors,
    restore_embeddings,
    write_vectors,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.entry import Entry
    from app.log.hlc import Stamp
    from app.log.registers import Cells
    from app.log.workspace import Workspace
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Transaction
    from app.store.writing.stored import StoredStates
    from app.store.writing.turns import Turns

_STATE_COLUMNS: Final = ("id", "state", "row_hash", "collected")
# Whose keys were not there when the batch looked: that they are now is another writer's doing.
_NEW_STATE: Final = Insert(memory_state, _STATE_COLUMNS)
_STATE: Final = Insert(memory_state, _STATE_COLUMNS, Replace(("id",), _STATE_COLUMNS[1:]))
_COLLECTED: Final = Update(memory_state, "id", ("collected",))
_RECORD_COLUMNS: Final = ("kind", "key", "state", "row_hash")
_NEW_RECORD: Final = Insert(record_state, _RECORD_COLUMNS)
_RECORD: Final = Insert(
    record_state, _RECORD_COLUMNS, Replace(_RECORD_COLUMNS[:2], _RECORD_COLUMNS[2:])
)
_MEMORY_COLUMNS: Final = ("id", *rows.INDEXED_COLUMNS, *rows.PLAIN_COLUMNS)
_NEW_MEMORY: Final = Insert(memories, _MEMORY_COLUMNS, feeds_text_index=True)
_WHOLE_MEMORY: Final = Update(memories, "id", _MEMORY_COLUMNS[1:])
_PLAIN_MEMORY: Final = Update(memories, "id", rows.PLAIN_COLUMNS)
_TOUCHED_MEMORY: Final = Update(memories, "id", rows.TOUCHED_COLUMNS)
_ARCHIVED_COLUMNS: Final = (*_MEMORY_COLUMNS, *rows.ARCHIVE_COLUMNS)
_ARCHIVED: Final = Insert(
    archived_memories, _ARCHIVED_COLUMNS, Replace(("id",), _ARCHIVED_COLUMNS[1:])
)
_GONE: Final = {
    "memories": Delete(memories, ("id",)),
    "archived_memories": Delete(archived_memories, ("id",)),
}
_CLAIM: Final = Insert(
    name_claims,
    ("namespace", "title", "memory_id", "stamp"),
    Replace(("namespace", "title", "memory_id"), ("stamp",)),
)
_NO_CLAIM: Final = Delete(name_claims, ("namespace", "title", "memory_id"))
_TOMBSTONE: Final = Insert(
    tombstones,
    ("id", "kind", "stamp", "deleted_at"),
    Replace(("id",), ("stamp", "deleted_at")),
)
_NO_TOMBSTONE: Final = Delete(tombstones, ("id",))
_ENTRY: Final = Insert(
    log_entries,
    ("origin_no", "seq", "hlc", "kind", "header", "payload", "payload_hash", "hash"),
)
_TEXT: Final = Insert(text_duplicates, ("text_hash", "memory_id"), Keep())
_NO_TEXT: Final = Delete(text_duplicates, ("memory_id",))
_PARK: Final = Update(memories, "id", ("title",))
_NAMED: Final = Select(memories, ("id", "namespace", *rows.INDEXED_COLUMNS), ("namespace", "title"))
_RETITLED: Final = Update(memories, "id", rows.INDEXED_COLUMNS)
_ALIAS_ID_CHARACTERS: Final = 8
NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


@dataclass(slots=True)
class FlushReport:
    """What followers inside this process want to know of a committed batch."""

    unembedded: dict[str, str] = field(default_factory=dict)
    """Memories whose text is new → the origin that wrote it."""
    embedded: list[str] = field(default_factory=list)
    """Memories that got a current vector."""
    gone: list[str] = field(default_factory=list)
    """Memories that left the live table."""
    namespaces: set[str] = field(default_factory=set)
    """Namespaces whose set of rows or vectors changed."""
    purged: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    """What the log has more."""


class Flush:
    """Writes one batch. Built anew for each."""

    def __init__(
        self,
        transaction: Transaction,
        workspace: Workspace,
        stored: StoredStates,
        now: str,
        turns: Turns,
        *,
        index_texts: bool,
        model: str | None,
    ) -> None:
        self._transaction = transaction
        self._workspace = workspace
        self._stored = stored
        self._now = now
        self._turns = turns
        self._index_texts = index_texts
        self._model = model
        self._deltas: dict[int, bytes] = {}
        self.report = FlushReport()

    def write(
        self,
        entries: Sequence[tuple[int, Entry]],
        collected: Mapping[str, bool],
        dropped: Mapping[str, int] = NOTHING,
    ) -> None:
        """Log rows, states, their projections, names, digests and vectors.

        The rows that cost a database most go first: one that need not be waited for is at work on
        them while the rest is made.

        Args:
            entries: (origin number, entry) in order.
            collected: Expired memories to move out of the live table: id → keep a copy.
            dropped: Memories whose states go if they are dead: id → and older than that.
        """
        self._prefetch_names()
        changed = [
            self._shown(key.key, before)
            for key, before in self._workspace.changes().items()
            if key.kind == "memory"
        ]
        shown = [*changed, *self._rivals(), *self._collected(collected)]
        self._write_memories(shown)
        self._write_entries(entries)
        self._write_states(changed)
        self._write_claims()
        self._write_deaths(shown)
        write_records(self._transaction, self._workspace)
        if self._index_texts:
            self._write_texts(shown)
        drop_stale_vectors(self._transaction, shown)
        self._keep_vectors()
        self._transaction.add_to_digests(self._deltas)
        self._forget(dropped)

    def _forget(self, dropped: Mapping[str, int]) -> None:
        """Drop what is dead and below the floor, if this batch raised it."""
        if dropped:
            drop_states(self._transaction, dropped)
        if FLOOR in self._workspace.changes():
            forget_dead(self._transaction, floor_of(self._workspace.cells(FLOOR)))

    def _write_entries(self, entries: Sequence[tuple[int, Entry]]) -> None:
        self.report.entries.extend(entry for _, entry in entries)
        self._transaction.write(
            _ENTRY,
            [
                (no, e.seq, e.hlc, e.kind, e.header, e.payload, e.payload_hash, e.hash)
                for no, e in entries
            ],
        )

    def _write_states(self, shown: Sequence[Shown]) -> None:
        is_collected = {row.id: row.collected for row in shown}
        states: dict[Insert, list[tuple[SqlValue, ...]]] = {
            one: [] for one in (_NEW_STATE, _STATE, _NEW_RECORD, _RECORD)
        }
        for key in self._workspace.changes():
            self._turns.step()
            state = encode_state(cast("Cells", self._workspace.cells(key)))
            digest = row_hash(key, state)
            old = self._stored.rows.get(key)
            self._count(key, old.row_hash if old else None, digest)
            if key.kind == "memory":
                kind = _STATE if old else _NEW_STATE
                states[kind].append((key.key, state, digest, int(is_collected[key.key])))
            else:
                kind = _RECORD if old else _NEW_RECORD
                states[kind].append((key.kind, key.key, state, digest))
        for statement, made in states.items():
            self._transaction.write(statement, made)

    def _prefetch_names(self) -> None:
        """Read at once who contends for the names that this batch is about."""
        workspace = self._workspace
        changed = (key.key for key in workspace.changes() if key.kind == "memory")
        claims = filter(None, map(workspace.claim, changed))
        workspace.prefetch((), [*workspace.contested(), *(claim[0] for claim in claims)])
        rivals = (one for name in workspace.contested() for one in workspace.claims(name))
        workspace.prefetch([EntityKey("memory", one) for one in rivals], ())

    def _count(self, key: EntityKey, old: bytes | None, new: bytes | None) -> None:
        bucket = bucket_of(key)
        self._deltas[bucket] = changed(self._deltas.get(bucket, EMPTY), old, new)

    def _shown(self, memory_id: str, before: Cells | None) -> Shown:
        stored = self._stored.rows.get(EntityKey("memory", memory_id))
        collected_before = stored is not None and stored.collected
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
        self._transaction.write(_COLLECTED, [(row.id, 1) for row in moving])
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
        self._transaction.write(_NO_CLAIM, gone)
        self._transaction.write(_CLAIM, made)

    # -- projections of memories -----------------------------------------------------------

    def _write_memories(self, shown: Sequence[Shown]) -> None:
        self._note(shown)
        write = self._transaction.write
        for table, statement in _GONE.items():
            write(statement, [(row.id,) for row in shown if row.was == table != row.place])
        live = [row for row in shown if row.place == "memories" and row.new is not None]
        fresh = [row for row in live if row.was != "memories"]
        whole = [row for row in live if row.was == "memories" and row.text_changed()]
        plain = [row for row in live if row.was == "memories" and not row.text_changed()]
        touched = [row for row in plain if row.only_touched()]
        plain = [row for row in plain if not row.only_touched()]
        moved = [row.id for row in whole if row.name_changed()]
        if len(moved) + len(fresh) > 1 and moved:
            # Names may change hands inside the batch: park them, so no order can collide, under
            # names that no client can give: titles hold no control characters.
            write(_PARK, [(one, f"\x01{one}") for one in moved])
        self._make_way([*whole, *fresh])
        write(_WHOLE_MEMORY, [row.whole() for row in whole])
        write(_NEW_MEMORY, [row.whole() for row in fresh])
        write(_PLAIN_MEMORY, [row.plain() for row in plain])
        write(_TOUCHED_MEMORY, [row.touched() for row in touched])
        write(
            _ARCHIVED,
            [
                (*row.whole(), *rows.archive_values(row.new))
                for row in shown
                if row.place == "archived_memories" and row.new is not None
            ],
        )
        restore_embeddings(self._transaction, [row.id for row in fresh if row.old is not None])

    def _note(self, shown: Sequence[Shown]) -> None:
        report = self.report
        rewritten: list[str] = []
        for row in shown:
            here, was_here = row.place == "memories", row.was == "memories"
            if was_here and (not here or row.text_changed()):
                rewritten.append(row.id)
            if here and row.new is not None:
                if not was_here or row.meaning_changed():
                    # Shown, so it has a title and a content.
                    report.unembedded[row.id] = cast("Stamp", text_stamp(row.new.cells)).origin
                if not was_here or row.name_changed():
                    report.namespaces.add(row.new.memory.namespace)
            elif was_here:
                report.gone.append(row.id)
            if row.old is not None and (not here or row.name_changed()):
                report.namespaces.add(row.old.memory.namespace)
        if rewritten:
            self._transaction.note_rewritten(rewritten)

    def _make_way(self, taking: Sequence[Shown]) -> None:
        """Rename a loser whose aliased title somebody now really takes; its id makes it unique."""
        takers: dict[tuple[SqlValue, ...], str] = {}
        for row in taking:
            memory = cast("Snapshot", row.new).memory
            if " ~" in memory.title:
                takers[memory.namespace, memory.title] = memory.id
        if not takers:
            return
        renamed = [
            (one, f"{title}{one[_ALIAS_ID_CHARACTERS:]}", content, tags)
            for one, namespace, title, content, tags in cast(
                "list[tuple[str, str, str, str, str]]",
                self._transaction.read(_NAMED, list(takers)),
            )
            if takers.get((namespace, title)) != one
        ]
        if renamed:
            self._transaction.note_rewritten([row[0] for row in renamed])
            self._transaction.write(_RETITLED, renamed)

    def _write_deaths(self, shown: Sequence[Shown]) -> None:
        dead: list[tuple[SqlValue, ...]] = []
        revived: list[tuple[SqlValue, ...]] = []
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
                revived.append((row.id,))
        self._transaction.write(_TOMBSTONE, dead)
        if self.report.purged:
            blank_payloads(self._transaction, self.report.purged)
        self._transaction.write(_NO_TOMBSTONE, revived)
        self._transaction.write(NO_VECTOR, [one[:1] for one in dead])

    def _write_texts(self, shown: Sequence[Shown]) -> None:
        gone = [(row.id,) for row in shown if row.old is not None and row.content_changed()]
        self._transaction.write(_NO_TEXT, gone)
        self._transaction.write(
            _TEXT,
            [
                (equal_text_key(row.new.memory.content), row.id)
                for row in shown
                if row.new is not None and row.new.life == LIVE and row.content_changed()
            ],
        )

    def _keep_vectors(self) -> None:
        for vector in write_vectors(self._transaction, self._workspace, self._model):
            self.report.embedded.append(vector.memory_id)
            found = self._workspace.snapshot(vector.memory_id)
            if found is not None:
                self.report.namespaces.add(found.memory.namespace)

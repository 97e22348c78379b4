"""What a batch changed, written set by set: states, projections, names, digests, the log.

Everything is in the transaction that the writer holds open. The order of the
statements matters in one place only: rows that give a name up are written
before rows that take it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.domain.text import equal_text_key
from app.log.canonical import decode
from app.log.digest import EMPTY, bucket_of, changed
from app.log.kinds.alias import split_alias_key
from app.log.kinds.links import split_link_key
from app.log.names import claim_of
from app.log.projection import (
    Snapshot,
    life_of,
    project_alias,
    project_link,
    project_standard,
    snapshot,
)
from app.log.registers import Written
from app.log.state import DELETED, LIVE, PURGED, EntityKey, encode_state, row_hash
from app.store.sqlite import rows
from app.store.sqlite.statements import insert_text, update_text
from app.store.sqlite.stored import json_array
from app.store.tables import (
    archived_memories,
    digest_buckets,
    entity_aliases,
    log_entries,
    memories,
    memory_links,
    memory_state,
    memory_vectors,
    name_claims,
    namespace_meta,
    record_state,
    text_duplicates,
    tombstones,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import apsw

    from app.log.entry import Entry
    from app.log.kinds.effect import Vector
    from app.log.registers import Cells
    from app.log.workspace import Workspace
    from app.store.sql.selects import SqlValue
    from app.store.sqlite.stored import StoredStates

LITTLE_ENDIAN_FLOATS: Final = b"\x01"
"""Header byte of the `embedding` column (schema-v57 1.1)."""


def _replacing(keys: Sequence[str], columns: Sequence[str]) -> str:
    changes = ", ".join(f"{one} = excluded.{one}" for one in columns)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}"


_STATE: Final = insert_text(
    memory_state,
    ("id", "state", "row_hash", "collected"),
    _replacing(("id",), ("state", "row_hash", "collected")),
)
_RECORD: Final = insert_text(
    record_state,
    ("kind", "key", "state", "row_hash"),
    _replacing(("kind", "key"), ("state", "row_hash")),
)
_MEMORY_COLUMNS: Final = ("id", *rows.INDEXED_COLUMNS, *rows.PLAIN_COLUMNS)
_NEW_MEMORY: Final = insert_text(memories, _MEMORY_COLUMNS)
_WHOLE_MEMORY: Final = update_text(memories, "id", (*rows.INDEXED_COLUMNS, *rows.PLAIN_COLUMNS))
_PLAIN_MEMORY: Final = update_text(memories, "id", rows.PLAIN_COLUMNS)
_ARCHIVED: Final = insert_text(
    archived_memories,
    (*_MEMORY_COLUMNS, *rows.ARCHIVE_COLUMNS),
    _replacing(("id",), (*_MEMORY_COLUMNS[1:], *rows.ARCHIVE_COLUMNS)),
)
_CLAIM: Final = insert_text(
    name_claims,
    ("namespace", "title", "memory_id", "stamp"),
    _replacing(("namespace", "title", "memory_id"), ("stamp",)),
)
_TOMBSTONE: Final = insert_text(
    tombstones,
    ("id", "kind", "stamp", "deleted_at"),
    _replacing(("id",), ("stamp", "deleted_at")),
)
_LINK_COLUMNS: Final = (
    "source_id",
    "target_id",
    "relation",
    "created_at",
    "valid_from",
    "valid_until",
    "observed_by",
    "attest_level",
    "signature",
)
_LINK: Final = insert_text(
    memory_links, _LINK_COLUMNS, _replacing(_LINK_COLUMNS[:3], _LINK_COLUMNS[3:])
)
_ALIAS: Final = insert_text(
    entity_aliases,
    ("entity_id", "alias", "created_at"),
    _replacing(("entity_id", "alias"), ("created_at",)),
)
_STANDARD_COLUMNS: Final = ("namespace", "standard_id", "parent_namespace", "updated_at")
_STANDARD: Final = insert_text(
    namespace_meta, _STANDARD_COLUMNS, _replacing(("namespace",), _STANDARD_COLUMNS[1:])
)
_DIGEST: Final = insert_text(
    digest_buckets, ("bucket", "digest"), _replacing(("bucket",), ("digest",))
)
_ENTRY: Final = insert_text(
    log_entries,
    ("origin_no", "seq", "hlc", "kind", "header", "payload", "payload_hash", "hash"),
)
_TEXT: Final = insert_text(text_duplicates, ("text_hash", "memory_id"), "ON CONFLICT DO NOTHING")
_VECTOR_COLUMNS: Final = ("memory_id", "stamp", "content_hash", "model", "dim", "vector")
_NEW_VECTOR: Final = insert_text(memory_vectors, _VECTOR_COLUMNS)
_EMBEDDING: Final = update_text(memories, "id", ("embedding", "embedding_dim"))
# A name that no client can give: titles hold no control characters.
_PARK: Final = (
    "UPDATE memories SET title = char(1) || id WHERE id IN (SELECT value FROM json_each(?))"
)


_CONTENT_KINDS: Final = (
    "store",
    "update",
    "promote",
    "restore",
    "agent",
    "alias",
    "consolidate",
    "standard_set",
    "embedding",
)
"""Kinds whose payload may hold content, of the first entity that they name."""


def first_entity(header: bytes) -> str | None:
    """The first entity that a stored header names."""
    fields = decode(header)
    ids = fields.get("entity_ids") if isinstance(fields, dict) else None
    return cast("str", ids[0]) if isinstance(ids, list) and ids else None


def content_hash(title: str, content: str) -> bytes:
    """What an embedding was made from: SHA-256 of title, NUL, content."""
    return sha256(f"{title}\x00{content}".encode()).digest()


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
        shown: list[_Shown] = []
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
        self._write_projected_records()
        if self._index_texts:
            self._write_texts(shown)
        self._drop_stale_vectors(shown)
        self._write_vectors()
        _DIGEST.run(self._connection, list(self.changed_digests.items()))

    def _count(self, key: EntityKey, old: bytes | None, new: bytes | None) -> None:
        bucket = bucket_of(key)
        current = self.changed_digests.get(bucket) or self._digests.get(bucket, EMPTY)
        self.changed_digests[bucket] = changed(current, old, new)

    def _shown(self, memory_id: str, before: Cells | None, *, collected_before: bool) -> _Shown:
        old = snapshot(memory_id, before) if before is not None else None
        new = self._workspace.snapshot(memory_id)
        # A row that this node moved out as expired comes back when it no longer is.
        collected = collected_before and new is not None and new.is_expired(self._now)
        claim = self._workspace.claim(memory_id)
        return _Shown(
            memory_id,
            old,
            new,
            rows.lives_in(old, collected=collected_before),
            rows.lives_in(new, collected=collected),
            collected,
            contested=claim is not None and claim[0] in self._workspace.contested(),
        )

    def _rivals(self) -> list[_Shown]:
        """Memories whose state stands but whose name's winner changed: they show differently."""
        changes = self._workspace.changes()
        found: dict[str, _Shown] = {}
        for name in self._workspace.contested():
            for memory_id in self._workspace.claims(name):
                key = EntityKey("memory", memory_id)
                if key in changes or memory_id in found:
                    continue
                new = self._workspace.snapshot(memory_id)
                collected = self._stored.rows[key].collected
                place = rows.lives_in(new, collected=collected)
                # `old` is unknown here (it depended on the old winner), so all is rewritten.
                found[memory_id] = _Shown(memory_id, None, new, place, place, collected)
        return list(found.values())

    def _collected(self, ids: Mapping[str, bool]) -> list[_Shown]:
        """Expired rows on their way out; their state stands, only where it shows changes."""
        moving: list[_Shown] = []
        changes = self._workspace.changes()
        for memory_id, archive in ids.items():
            key = EntityKey("memory", memory_id)
            new = self._workspace.snapshot(memory_id)
            if key in changes or new is None or not new.is_expired(self._now):
                continue  # changed in this very batch: the next collection looks again
            place = "archived_memories" if archive else None
            moving.append(_Shown(memory_id, new, new, "memories", place, True, contested=False))
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

    def _write_memories(self, shown: Sequence[_Shown]) -> None:
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
        moved = [row.id for row in whole if row.name_changed()]
        if len(moved) + len(fresh) > 1 and moved:
            # Names may change hands inside the batch: park them, so no order can collide.
            self._connection.execute(_PARK, (json_array(moved),))
        self._make_way([*whole, *fresh])
        _WHOLE_MEMORY.run(self._connection, [row.whole() for row in whole])
        _NEW_MEMORY.run_in_fewest(self._connection, [row.whole() for row in fresh])
        _PLAIN_MEMORY.run(self._connection, [row.plain() for row in plain])
        _ARCHIVED.run(
            self._connection,
            [
                (*row.whole(), *rows.archive_values(row.new))
                for row in shown
                if row.place == "archived_memories" and row.new is not None
            ],
        )
        self._restore_embeddings([row.id for row in fresh if row.old is not None])

    def _note(self, shown: Sequence[_Shown]) -> None:
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

    def _make_way(self, taking: Sequence[_Shown]) -> None:
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

    def _restore_embeddings(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        kept = self._connection.execute(
            "SELECT memory_id, vector, dim FROM memory_vectors"
            " WHERE memory_id IN (SELECT value FROM json_each(?))",
            (json_array(ids),),
        ).fetchall()
        _EMBEDDING.run(
            self._connection,
            [(one, embedding_blob(cast("bytes", vector)), dim) for one, vector, dim in kept],
        )

    def _write_deaths(self, shown: Sequence[_Shown]) -> None:
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
            self._blank_payloads(self.report.purged)
        for ids, statement in (
            (revived, "DELETE FROM tombstones WHERE id IN (SELECT value FROM json_each(?))"),
            (
                [one[0] for one in dead],
                "DELETE FROM memory_vectors WHERE memory_id IN (SELECT value FROM json_each(?))",
            ),
        ):
            if ids:
                self._connection.execute(statement, (json_array(ids),))

    def _blank_payloads(self, purged: Sequence[str]) -> None:
        """Erase the content of purged memories from the log; every hash of the chain stays.

        One pass over the log: erasure is rare, and an index by memory would cost every write.
        """
        ids = set(purged)
        marks = ", ".join("?" * len(_CONTENT_KINDS))
        found = [
            cast("int", apply_no)
            for apply_no, header in self._connection.execute(
                "SELECT apply_no, header FROM log_entries"  # noqa: S608 - marks only
                f" WHERE payload IS NOT NULL AND kind IN ({marks})",
                _CONTENT_KINDS,
            )
            if first_entity(cast("bytes", header)) in ids
        ]
        self._connection.execute(
            "UPDATE log_entries SET payload = NULL"
            " WHERE apply_no IN (SELECT value FROM json_each(?))",
            (json_array(found),),
        )

    # -- other projections -----------------------------------------------------------------

    def _write_projected_records(self) -> None:
        links: list[tuple[SqlValue, ...]] = []
        aliases: list[tuple[SqlValue, ...]] = []
        standards: list[tuple[SqlValue, ...]] = []
        for key in self._workspace.changes():
            cells = cast("Cells", self._workspace.cells(key))
            if key.kind == "link":
                link = project_link(key.key, cells)
                if link is None:
                    self._connection.execute(
                        "DELETE FROM memory_links"
                        " WHERE source_id = ? AND target_id = ? AND relation = ?",
                        split_link_key(key.key),
                    )
                else:
                    links.append(tuple(getattr(link, column) for column in _LINK_COLUMNS))
            elif key.kind == "alias":
                alias = project_alias(key.key, cells)
                if alias is None:
                    self._connection.execute(
                        "DELETE FROM entity_aliases WHERE entity_id = ? AND alias = ?",
                        split_alias_key(key.key),
                    )
                else:
                    aliases.append((alias.entity_id, alias.alias, alias.created_at))
            elif key.kind == "standard":
                binding = project_standard(key.key, cells)
                if binding is None:
                    self._connection.execute(
                        "DELETE FROM namespace_meta WHERE namespace = ?", (key.key,)
                    )
                else:
                    standards.append(
                        tuple(getattr(binding, column) for column in _STANDARD_COLUMNS)
                    )
        _LINK.run(self._connection, links)
        _ALIAS.run(self._connection, aliases)
        _STANDARD.run(self._connection, standards)

    def _write_texts(self, shown: Sequence[_Shown]) -> None:
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

    # -- vectors ---------------------------------------------------------------------------

    def _drop_stale_vectors(self, shown: Sequence[_Shown]) -> None:
        stale = [row.id for row in shown if row.meaning_changed()]
        if not stale:
            return
        ids = (json_array(stale),)
        self._connection.execute(
            "DELETE FROM memory_vectors WHERE memory_id IN (SELECT value FROM json_each(?))", ids
        )
        self._connection.execute(
            "UPDATE memories SET embedding = NULL, embedding_dim = NULL"
            " WHERE embedding IS NOT NULL AND id IN (SELECT value FROM json_each(?))",
            ids,
        )

    def _write_vectors(self) -> None:
        current = [one for one in self._workspace.vectors() if self._is_current(one)]
        if not current:
            return
        # A key of the index is written once: a new vector takes a new number.
        self._connection.execute(
            "DELETE FROM memory_vectors WHERE memory_id IN (SELECT value FROM json_each(?))",
            (json_array([one.memory_id for one in current]),),
        )
        _NEW_VECTOR.run(
            self._connection,
            [
                (v.memory_id, v.stamp.text(), v.content_hash, v.model, v.dim, v.half_floats)
                for v in current
            ],
        )
        _EMBEDDING.run(
            self._connection,
            [(v.memory_id, embedding_blob(v.half_floats), v.dim) for v in current],
        )
        self.report.embedded.extend(v.memory_id for v in current)
        for vector in current:
            found = self._workspace.snapshot(vector.memory_id)
            if found is not None:
                self.report.namespaces.add(found.memory.namespace)

    def _is_current(self, vector: Vector) -> bool:
        if vector.model != self._model:
            return False
        cells = self._workspace.cells(EntityKey("memory", vector.memory_id))
        found = snapshot(vector.memory_id, cells) if cells is not None else None
        if found is None or found.life not in {LIVE, "archived"}:
            return False
        memory = found.memory
        return content_hash(memory.title, memory.content) == vector.content_hash


def embedding_blob(half_floats: bytes) -> bytes:
    """A vector as the `embedding` column holds it: header byte, little-endian float32."""
    halves = np.frombuffer(half_floats, dtype="<f2")
    return LITTLE_ENDIAN_FLOATS + halves.astype("<f4").tobytes()


class _Shown:
    """One memory's row before and after the batch."""

    __slots__ = ("collected", "contested", "id", "new", "old", "place", "was")

    def __init__(
        self,
        memory_id: str,
        old: Snapshot | None,
        new: Snapshot | None,
        was: str | None,
        place: str | None,
        collected: bool,
        *,
        contested: bool = True,
    ) -> None:
        self.id = memory_id
        self.old = old
        self.new = new
        self.was = was
        self.place = place
        self.collected = collected
        # Who wins the name may have changed, and with it the title that the row shows.
        self.contested = contested

    def name_changed(self) -> bool:
        if self.old is None or self.new is None or self.contested:
            return True
        old, new = self.old.memory, self.new.memory
        return (old.namespace, old.title) != (new.namespace, new.title)

    def text_changed(self) -> bool:
        """Whether the full-text row or the unique name must be rewritten."""
        if self.old is None or self.new is None:
            return True
        return self.name_changed() or rows.indexed_values(self.old.memory) != (
            rows.indexed_values(self.new.memory)
        )

    def content_changed(self) -> bool:
        """Whether the text itself, or whether it is live, differs."""
        if self.old is None or self.new is None:
            return True
        return self.old.memory.content != self.new.memory.content or self.old.life != self.new.life

    def meaning_changed(self) -> bool:
        """Whether a vector made before is now stale."""
        if self.old is None or self.new is None:
            return False  # a rival for a name: what shows differs, the text it means does not
        old, new = self.old.memory, self.new.memory
        return (old.title, old.content) != (new.title, new.content)

    def whole(self) -> tuple[SqlValue, ...]:
        found = cast("Snapshot", self.new)
        return (self.id, *rows.indexed_values(found.memory), *rows.plain_values(found))

    def plain(self) -> tuple[SqlValue, ...]:
        return (self.id, *rows.plain_values(cast("Snapshot", self.new)))

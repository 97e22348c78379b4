"""Putting sound states in the place of damaged rows, with all that shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from app.log.digest import bucket_of, delta
from app.store.protocol import Needs
from app.store.tables import (
    archived_memories,
    memories,
    memory_state,
    name_claims,
    record_state,
    text_duplicates,
)
from app.store.writing.joining import opened_rows, opened_vectors
from app.store.writing.state_reads import vectors_of
from app.store.writing.statements import Delete, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.log.registers import Cells
    from app.log.state import EntityKey
    from app.store.replica import State
    from app.store.writing.batch import Batch

_MEMORY_HASH: Final = Select(memory_state, ("row_hash",), ("id",), for_change=True)
_RECORD_HASH: Final = Select(record_state, ("row_hash",), ("kind", "key"), for_change=True)
_NO_RECORD: Final = Delete(record_state, ("kind", "key"))
_NO_MEMORY: Final = (
    Delete(memory_state, ("id",)),
    Delete(memories, ("id",)),
    Delete(archived_memories, ("id",)),
    Delete(name_claims, ("memory_id",)),
    Delete(text_duplicates, ("memory_id",)),
)


@dataclass(slots=True)
class MendJob:
    """States to put in the place of what stands here, in the writer's queue."""

    rows: Sequence[State]
    done: Callable[[int | Exception], None]
    mended: int = field(default=0, init=False)

    @property
    def needs(self) -> Needs:
        """Nothing up front: what stands here may not be readable."""
        return Needs()

    @property
    def weight(self) -> int:
        """Each is as much work as a few commands."""
        return len(self.rows)

    def run(self, batch: Batch) -> None:
        """Remove each row and all that shows it, then join its state as if it were new."""
        self.mended = 0
        for key, cells in opened_rows(self.rows):
            batch.turns.step()
            if key in batch.stored.rows:
                continue  # another job of this batch is about it: the next scrub looks again
            if key.kind == "memory":
                _mend_memory(batch, key, cells)
            else:
                _remove(batch, key, _RECORD_HASH, (key.kind, key.key), (_NO_RECORD,))
                batch.workspace.adopt(key, cells)
            self.mended += 1

    def succeed(self) -> None:
        """Answer with how many were put in place."""
        self.done(self.mended)

    def fail(self, error: Exception) -> None:
        """Answer with the error."""
        self.done(error)


def _mend_memory(batch: Batch, key: EntityKey, cells: Cells) -> None:
    batch.transaction.note_rewritten([key.key])
    _remove(batch, key, _MEMORY_HASH, (key.key,), _NO_MEMORY)
    batch.workspace.adopt(key, cells)
    # The row is new to the batch: its vector is taken up again, if it is of the sound text.
    for vector in opened_vectors(vectors_of(batch.transaction, [key.key])):
        batch.workspace.keep_vector(vector)


def _remove(
    batch: Batch,
    key: EntityKey,
    hashes: Select,
    values: tuple[str, ...],
    deletes: Sequence[Delete],
) -> None:
    for (stored,) in batch.transaction.read(hashes, [values]):
        batch.transaction.add_to_digests({bucket_of(key): delta(cast("bytes", stored), None)})
    for one in deletes:
        batch.transaction.write(one, [values])

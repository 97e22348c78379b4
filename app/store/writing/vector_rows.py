"""Vectors of memories: kept while they are of the memory's present text, dropped when not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.domain.text import content_hash
from app.log.projection import snapshot
from app.log.state import ARCHIVED, LIVE, EntityKey
from app.store.tables import memories, memory_vectors
from app.store.writing.statements import ChangeEach, Delete, Insert, Select, Update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.log.kinds.effect import Vector
    from app.log.workspace import Workspace
    from app.store.writing.port import Transaction
    from app.store.writing.shown import Shown

LITTLE_ENDIAN_FLOATS: Final = b"\x01"
"""Header byte of the `embedding` column (schema-v57 1.1)."""

_VECTOR_COLUMNS: Final = ("memory_id", "stamp", "content_hash", "model", "dim", "vector")
_NEW_VECTOR: Final = Insert(memory_vectors, _VECTOR_COLUMNS)
_KEPT: Final = Select(memory_vectors, ("memory_id", "vector", "dim"), ("memory_id",))
NO_VECTOR: Final = Delete(memory_vectors, ("memory_id",))
_EMBEDDING: Final = Update(memories, "id", ("embedding", "embedding_dim"))
# Most of these rows have none yet: an update by key would rewrite them all.
_NO_EMBEDDING: Final = ChangeEach(
    ("id",),
    sqlite="UPDATE memories SET embedding = NULL, embedding_dim = NULL"
    " WHERE embedding IS NOT NULL AND id IN (SELECT value ->> 0 FROM json_each(?) AS given)",
    postgresql="UPDATE memories SET embedding = NULL, embedding_dim = NULL FROM {given}"
    " WHERE memories.embedding_dim IS NOT NULL AND memories.id = given.id",
)


def embedding_blob(half_floats: bytes) -> bytes:
    """A vector as the `embedding` column holds it: header byte, little-endian float32."""
    halves = np.frombuffer(half_floats, dtype="<f2")
    return LITTLE_ENDIAN_FLOATS + halves.astype("<f4").tobytes()


def restore_embeddings(transaction: Transaction, ids: Sequence[str]) -> None:
    """Show kept vectors in rows that came back."""
    if not ids:
        return
    kept = transaction.read(_KEPT, [(one,) for one in ids])
    transaction.write(
        _EMBEDDING,
        [(one, embedding_blob(cast("bytes", vector)), dim) for one, vector, dim in kept],
    )


def drop_stale_vectors(transaction: Transaction, shown: Sequence[Shown]) -> None:
    """Forget vectors of texts that changed."""
    stale = [(row.id,) for row in shown if row.meaning_changed()]
    transaction.write(NO_VECTOR, stale)
    transaction.write(_NO_EMBEDDING, stale)


def write_vectors(
    transaction: Transaction, workspace: Workspace, model: str | None
) -> Sequence[Vector]:
    """Keep the vectors that arrived and are of their memory's present text."""
    current = [one for one in workspace.vectors() if _is_current(one, workspace, model)]
    if not current:
        return current
    # A key of the index is written once: a new vector takes a new number.
    transaction.write(NO_VECTOR, [(one.memory_id,) for one in current])
    transaction.write(
        _NEW_VECTOR,
        [
            (v.memory_id, v.stamp.text(), v.content_hash, v.model, v.dim, v.half_floats)
            for v in current
        ],
    )
    transaction.write(
        _EMBEDDING,
        [(v.memory_id, embedding_blob(v.half_floats), v.dim) for v in current],
    )
    return current


def _is_current(vector: Vector, workspace: Workspace, model: str | None) -> bool:
    if vector.model != model:
        return False
    cells = workspace.cells(EntityKey("memory", vector.memory_id))
    found = snapshot(vector.memory_id, cells) if cells is not None else None
    if found is None or found.life not in {LIVE, ARCHIVED}:
        return False
    memory = found.memory
    return content_hash(memory.title, memory.content) == vector.content_hash

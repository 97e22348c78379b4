"""Vectors of memories: kept while they are of the memory's present text, dropped when not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.domain.text import content_hash
from app.log.projection import snapshot
from app.log.state import ARCHIVED, LIVE, EntityKey
from app.store.sqlite.statements import insert_text, update_text
from app.store.sqlite.stored import json_array
from app.store.tables import memories, memory_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from app.log.kinds.effect import Vector
    from app.log.workspace import Workspace
    from app.store.sqlite.shown import Shown

LITTLE_ENDIAN_FLOATS: Final = b"\x01"
"""Header byte of the `embedding` column (schema-v57 1.1)."""

_VECTOR_COLUMNS: Final = ("memory_id", "stamp", "content_hash", "model", "dim", "vector")
_NEW_VECTOR: Final = insert_text(memory_vectors, _VECTOR_COLUMNS)
_EMBEDDING: Final = update_text(memories, "id", ("embedding", "embedding_dim"))


def embedding_blob(half_floats: bytes) -> bytes:
    """A vector as the `embedding` column holds it: header byte, little-endian float32."""
    halves = np.frombuffer(half_floats, dtype="<f2")
    return LITTLE_ENDIAN_FLOATS + halves.astype("<f4").tobytes()


def restore_embeddings(connection: apsw.Connection, ids: Sequence[str]) -> None:
    """Show kept vectors in rows that came back."""
    if not ids:
        return
    kept = connection.execute(
        "SELECT memory_id, vector, dim FROM memory_vectors"
        " WHERE memory_id IN (SELECT value FROM json_each(?))",
        (json_array(ids),),
    ).fetchall()
    _EMBEDDING.run(
        connection,
        [(one, embedding_blob(cast("bytes", vector)), dim) for one, vector, dim in kept],
    )


def drop_stale_vectors(connection: apsw.Connection, shown: Sequence[Shown]) -> None:
    """Forget vectors of texts that changed."""
    stale = [row.id for row in shown if row.meaning_changed()]
    if not stale:
        return
    ids = (json_array(stale),)
    connection.execute(
        "DELETE FROM memory_vectors WHERE memory_id IN (SELECT value FROM json_each(?))", ids
    )
    connection.execute(
        "UPDATE memories SET embedding = NULL, embedding_dim = NULL"
        " WHERE embedding IS NOT NULL AND id IN (SELECT value FROM json_each(?))",
        ids,
    )


def write_vectors(
    connection: apsw.Connection, workspace: Workspace, model: str | None
) -> Sequence[Vector]:
    """Keep the vectors that arrived and are of their memory's present text."""
    current = [one for one in workspace.vectors() if _is_current(one, workspace, model)]
    if not current:
        return current
    # A key of the index is written once: a new vector takes a new number.
    connection.execute(
        "DELETE FROM memory_vectors WHERE memory_id IN (SELECT value FROM json_each(?))",
        (json_array([one.memory_id for one in current]),),
    )
    _NEW_VECTOR.run(
        connection,
        [
            (v.memory_id, v.stamp.text(), v.content_hash, v.model, v.dim, v.half_floats)
            for v in current
        ],
    )
    _EMBEDDING.run(
        connection,
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

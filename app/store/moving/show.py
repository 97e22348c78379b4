"""Writing a page of states with all that follows from them: the write engine's own work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import StoreOpenError
from app.log.canonical import CanonicalError
from app.log.names import claim_of
from app.log.projection import snapshot
from app.log.state import EntityKey, decode_state, row_hash
from app.log.workspace import Workspace
from app.store.tables import archived_memories
from app.store.writing.flush import Flush
from app.store.writing.statements import Select
from app.store.writing.stored import StoredStates
from app.store.writing.turns import Turns
from app.store.writing.vector_rows import restore_embeddings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.log.registers import Cells
    from app.store.writing.port import Reader, Row, Transaction

_ARCHIVED: Final = Select(archived_memories, ("id",), ("id",))


@dataclass(frozen=True, slots=True)
class StatePage:
    """States to write, and which of the memories had been moved out as expired.

    `collected`: id → whether the archive keeps a copy.
    """

    states: Mapping[EntityKey, Cells]
    collected: Mapping[str, bool]


def memory_page(source: Reader, rows: Sequence[Row]) -> StatePage:
    """A page of `memory_state`: (id, state, row_hash, collected).

    Raises:
        StoreOpenError: a state is not what its hash says (`reason` = `damaged`).
    """
    states = dict(
        _state(EntityKey("memory", cast("str", one)), state, digest)
        for one, state, digest, _ in rows
    )
    collected = [cast("str", row[0]) for row in rows if row[3]]
    kept = {one for (one,) in source.read(_ARCHIVED, [(one,) for one in collected])}
    return StatePage(states, {one: one in kept for one in collected})


def record_page(rows: Sequence[Row]) -> StatePage:
    """A page of `record_state`: (kind, key, state, row_hash).

    Raises:
        StoreOpenError: a state is not what its hash says (`reason` = `damaged`).
    """
    states = dict(
        _state(EntityKey(cast("str", kind), cast("str", key)), state, digest)
        for kind, key, state, digest in rows
    )
    return StatePage(states, {})


def _state(key: EntityKey, state: object, digest: object) -> tuple[EntityKey, Cells]:
    data = cast("bytes", state)
    try:
        if row_hash(key, data) == digest:
            return key, decode_state(key.kind, data)
    except (CanonicalError, KeyError):
        pass
    raise StoreOpenError(
        f"the state of {key.kind} {key.key} in the source is damaged: ai-memory doctor --scrub"
        " lists all that are",
        reason="damaged",
    )


def write_page(transaction: Transaction, page: StatePage, now: str) -> None:
    """Write states, projections, names, digests, and the vectors that are here already."""
    stored = StoredStates(transaction)
    workspace = Workspace(stored)
    memory_ids = [key.key for key in page.states if key.kind == "memory"]
    claims = (claim_of(key.key, cells) for key, cells in page.states.items())
    workspace.prefetch(page.states, [claim[0] for claim in claims if claim is not None])
    for key, cells in page.states.items():
        workspace.adopt(key, cells)
    _flush(transaction, workspace, stored, now).write((), {})
    restore_embeddings(transaction, memory_ids)
    if page.collected:
        _collect(transaction, page, now)


def _collect(transaction: Transaction, page: StatePage, now: str) -> None:
    """Move out what the source had moved out; its clock may have been ahead of this one."""
    stored = StoredStates(transaction)
    workspace = Workspace(stored)
    workspace.prefetch([EntityKey("memory", one) for one in page.collected], ())
    found = (snapshot(one, page.states[EntityKey("memory", one)]) for one in page.collected)
    expiries = [one.memory.expires_at or now for one in found if one is not None]
    then = max([now, *expiries])
    _flush(transaction, workspace, stored, then).write((), page.collected)


def _flush(transaction: Transaction, workspace: Workspace, stored: StoredStates, now: str) -> Flush:
    # Hashes of texts and vectors are copied, not derived: so nothing of them is asked for here.
    return Flush(transaction, workspace, stored, now, Turns(0), index_texts=False, model=None)

"""A set of states being changed by entries: the merge engine.

Whoever owns the states (an adapter's batch, a test's dictionary) gives two
loaders; the workspace applies entries to what they return, keeps the name
claims in step, and says what changed. Nothing here reads a clock or a disk.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from app.log.kinds import KINDS
from app.log.kinds.embedding import vector_of
from app.log.names import Claim, Name, claim_of, winner
from app.log.projection import Snapshot, snapshot, with_conflict
from app.log.state import EntityKey, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.log.canonical import Value
    from app.log.hlc import Stamp
    from app.log.kinds.effect import Effect, Vector
    from app.log.registers import Cells

_NOTHING: Final[Cells] = {}


class States(Protocol):
    """Where states come from."""

    def load_states(self, keys: Iterable[EntityKey]) -> Mapping[EntityKey, Cells]:
        """The states that exist among `keys`."""
        ...

    def load_claims(self, names: Iterable[Name]) -> Mapping[Name, Mapping[str, Stamp]]:
        """Every live claim on each of `names`, id → stamp."""
        ...


class Writes(NamedTuple):
    """What one entry does: cells to join, or a vector to keep."""

    effects: Sequence[Effect] = ()
    vector: Vector | None = None
    is_new: bool = False
    """Whether it makes a memory of which its author had never heard."""


def writes_of(kind: str, payload: Mapping[str, Value], stamp: Stamp) -> Writes:
    """What an entry writes; an unknown kind nothing.

    Raises:
        EntryRefusedError: the payload does not fit its kind.
    """
    if kind == "embedding":
        return Writes(vector=vector_of(payload, stamp))
    known = KINDS.get(kind)
    if known is None:
        return Writes()
    return Writes(known.effects(payload, stamp), is_new=payload.get("new") is True)


class Workspace:
    """States in memory, changed entry by entry, with undo for one step."""

    def __init__(self, states: States) -> None:
        self._states = states
        self._cells: dict[EntityKey, Cells | None] = {}
        self._before: dict[EntityKey, Cells | None] = {}
        self._claims: dict[Name, dict[str, Stamp]] = {}
        self._contested: set[Name] = set()
        self._claimed: dict[str, tuple[Cells | None, tuple[Name, Claim] | None]] = {}
        self._shown: dict[str, tuple[Cells | None, Snapshot | None]] = {}
        self._vectors: dict[tuple[str, str], Vector] = {}
        self._undo: list[Callable[[], None]] = []

    # -- reading -------------------------------------------------------------------------

    def prefetch(self, keys: Iterable[EntityKey], names: Iterable[Name]) -> None:
        """Load what is not here yet, in bulk."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self._cells]
        if wanted:
            found = self._states.load_states(wanted)
            for key in wanted:
                self._cells[key] = found.get(key)
        missing = [name for name in dict.fromkeys(names) if name not in self._claims]
        if missing:
            claims = self._states.load_claims(missing)
            for name in missing:
                self._claims[name] = self._with_pending_claims(name, claims.get(name, {}))

    def _with_pending_claims(self, name: Name, stored: Mapping[str, Stamp]) -> dict[str, Stamp]:
        # States changed before their old name was loaded must not be seen as stored.
        claims = {
            memory_id: stamp
            for memory_id, stamp in stored.items()
            if EntityKey("memory", memory_id) not in self._before
        }
        for key in self._before:
            made = claim_of(key.key, self._cells[key]) if key.kind == "memory" else None
            if made is not None and made[0] == name:
                claims[key.key] = made[1].stamp
        return claims

    def cells(self, key: EntityKey) -> Cells | None:
        """The current state of `key`."""
        if key not in self._cells:
            self.prefetch([key], ())
        return self._cells[key]

    def claims(self, name: Name) -> Mapping[str, Stamp]:
        """The live claims on a name."""
        if name not in self._claims:
            self.prefetch((), [name])
        return self._claims[name]

    def holder(self, name: Name) -> str | None:
        """Who holds a name, expired or not."""
        return winner(self.claims(name))

    def snapshot(self, memory_id: str) -> Snapshot | None:
        """A memory as its state shows it, name conflict included."""
        cells = self.cells(EntityKey("memory", memory_id))
        found = self._plain_snapshot(memory_id, cells)
        if found is None:
            return None
        claim = self.claim(memory_id)
        if claim is None:
            return found
        holder = self.holder(claim[0])
        return found if holder in (None, memory_id) else with_conflict(found, holder)

    def claim(self, memory_id: str) -> tuple[Name, Claim] | None:
        """The claim that a memory's current state makes."""
        return self._claim_of(memory_id, self.cells(EntityKey("memory", memory_id)))

    def _claim_of(self, memory_id: str, cells: Cells | None) -> tuple[Name, Claim] | None:
        known = self._claimed.get(memory_id)
        if known is None or known[0] is not cells:
            known = (cells, claim_of(memory_id, cells))
            self._claimed[memory_id] = known
        return known[1]

    def _plain_snapshot(self, memory_id: str, cells: Cells | None) -> Snapshot | None:
        # Asked for by the command, its answer and the projection; a state never changes in place.
        known = self._shown.get(memory_id)
        if known is None or known[0] is not cells:
            known = (cells, snapshot(memory_id, cells) if cells is not None else None)
            self._shown[memory_id] = known
        return known[1]

    # -- changing ------------------------------------------------------------------------

    def apply(self, kind: str, payload: Mapping[str, Value], stamp: Stamp) -> None:
        """Join what one entry writes; an unknown kind changes nothing.

        Raises:
            EntryRefusedError: the payload does not fit its kind; nothing is changed.
        """
        self.perform(writes_of(kind, payload, stamp))

    def perform(self, writes: Writes) -> None:
        """Join what an entry writes."""
        if writes.vector is not None:
            self.keep_vector(writes.vector)
        for key, cells in writes.effects:
            self.adopt(key, cells)

    def adopt(self, key: EntityKey, cells: Cells) -> None:
        """Join a whole state, such as another store holds; no entry is needed for it."""
        old = self.cells(key)
        self._set(key, old, join(key.kind, _NOTHING if old is None else old, cells))

    def keep_vector(self, vector: Vector) -> None:
        """Note a vector; of several of a memory and model the latest stays."""
        slot = (vector.memory_id, vector.model)
        kept = self._vectors.get(slot)
        if kept is None or kept.stamp < vector.stamp:
            self._undo.append(partial(self._put_vector, slot, kept))
            self._vectors[slot] = vector

    def _put_vector(self, slot: tuple[str, str], vector: Vector | None) -> None:
        if vector is None:
            del self._vectors[slot]
        else:
            self._vectors[slot] = vector

    def _set(self, key: EntityKey, old: Cells | None, cells: Cells) -> None:
        if cells is old or not cells:
            return
        first = key not in self._before
        if first:
            self._before[key] = old
        self._cells[key] = cells
        contested = self._reclaim(key, old, cells) - self._contested
        self._contested |= contested
        self._undo.append(partial(self._put_back, key, old, contested, first=first))

    def _put_back(
        self, key: EntityKey, old: Cells | None, contested: set[Name], *, first: bool
    ) -> None:
        self._reclaim(key, self._cells[key], old)
        self._contested -= contested
        self._cells[key] = old
        if first:
            del self._before[key]

    def _reclaim(self, key: EntityKey, old: Cells | None, new: Cells | None) -> set[Name]:
        if key.kind != "memory":
            return set()
        gone, made = claim_of(key.key, old), self._claim_of(key.key, new)
        if gone == made:
            return set()
        if gone is not None and (claims := self._claims.get(gone[0])) is not None:
            claims.pop(key.key, None)
        if made is not None and (claims := self._claims.get(made[0])) is not None:
            claims[key.key] = made[1].stamp
        return {claim[0] for claim in (gone, made) if claim is not None}

    def mark(self) -> None:
        """Start a step that `undo` takes back."""
        self._undo.clear()

    def undo(self) -> None:
        """Take back everything since `mark`: states, claims, contested names, vectors."""
        while self._undo:
            self._undo.pop()()

    # -- what changed --------------------------------------------------------------------

    def changes(self) -> Mapping[EntityKey, Cells | None]:
        """Each changed key with the state it had before."""
        return self._before

    def contested(self) -> set[Name]:
        """Names whose claims changed; their holders may show differently now."""
        return self._contested

    def vectors(self) -> Iterable[Vector]:
        """The embeddings that arrived."""
        return self._vectors.values()

"""Writes of entities and their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import ConflictError
from app.domain.memory import Memory
from app.log import drafts
from app.log.kinds.alias import alias_key
from app.log.names import Name
from app.log.projection import project_alias
from app.services.commands import naming
from app.services.commands.memories import stored_bytes
from app.services.derived_ids import derived_id, free_derived_id
from app.store.protocol import Charge, Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json
    from app.services.caller import Caller
    from app.store.protocol import QuotaLimits, View

ENTITY: Final = "entity"
_PRIORITY: Final = 7


@dataclass(frozen=True, slots=True)
class Registered:
    """The entity of a name, and whether this registration made it."""

    entity_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class RegisterEntity:
    """An entity under a name, with other names; what exists gains the names that it lacks.

    `aliases` hold the canonical name. `limits` None charges nothing. The id follows from the name,
    so that two nodes register one entity.
    """

    namespace: str
    canonical_name: str
    aliases: Sequence[str]
    metadata: Mapping[str, Json]
    caller: Caller
    limits: QuotaLimits | None
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        entity_id = derived_id(ENTITY, self.namespace, self.canonical_name)
        return Needs(
            memories=(entity_id,),
            names=(Name(self.namespace, self.canonical_name),),
            keys=tuple(alias_key(entity_id, one) for one in self.aliases),
            quotas=((self.caller.agent_id, self.namespace),) if self.limits else (),
        )

    def decide(self, view: View) -> Decided[Registered]:
        actor = self.caller.agent_id
        place = naming.look(
            view, self.namespace, self.canonical_name, actor, archive=self.archive_expired
        )
        if place.holder is not None:
            return self._known(view, place.holder.memory)
        memory = self._row(view)
        if self.limits is not None:
            cost = Charge(actor, self.namespace, 1, storage_bytes=stored_bytes(memory))
            view.charge(cost, self.limits)
        registered = Registered(memory.id, is_new=True)
        draft = drafts.alias(memory, self.aliases, actor, view.now, new=True)
        return Decided(lambda _: registered, (*place.clearing, draft))

    def _known(self, view: View, holder: Memory) -> Decided[Registered]:
        if not is_entity(holder) or not self.caller.sees(holder):
            seen = {"existing_id": holder.id} if self.caller.sees(holder) else {}
            raise ConflictError(
                f"title '{self.canonical_name}' in namespace '{self.namespace}'"
                " is taken by a memory that is not this entity",
                **seen,
            )
        missing = [one for one in self.aliases if not _has_alias(view, holder.id, one)]
        registered = Registered(holder.id, is_new=False)
        if not missing:
            return Decided(lambda _: registered)
        draft = drafts.alias(holder, missing, self.caller.agent_id, view.now, new=False)
        return Decided(lambda _: registered, (draft,))

    def _row(self, view: View) -> Memory:
        name = self.canonical_name
        return Memory(
            id=free_derived_id(view, ENTITY, self.namespace, name, self.caller),
            tier="long",
            namespace=self.namespace,
            title=name,
            content=name,
            tags=(ENTITY,),
            priority=_PRIORITY,
            confidence=1.0,
            source="api",
            access_count=0,
            created_at=view.now,
            updated_at=view.now,
            metadata={**self.metadata, "agent_id": self.caller.agent_id, "kind": ENTITY},
        )


def is_entity(memory: Memory) -> bool:
    """Whether the row stands for an entity (semantics 10)."""
    return ENTITY in memory.tags and memory.metadata.get("kind") == ENTITY


def _has_alias(view: View, entity_id: str, alias: str) -> bool:
    key = alias_key(entity_id, alias)
    cells = view.cells(key)
    return cells is not None and project_alias(key.key, cells) is not None

"""Entities: things with one canonical name and any number of others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.timestamps import format_instant
from app.services.commands.entities import RegisterEntity
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json
    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.store.protocol import QuotaLimits, Store

ALIASES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class NewEntity:
    """An entity as a client names it, not checked yet."""

    canonical_name: str
    namespace: str
    aliases: Sequence[str] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity and all its names, by creation, then by alphabet."""

    entity_id: str
    canonical_name: str
    namespace: str
    aliases: Sequence[str]


@dataclass(frozen=True, slots=True)
class RegisteredEntity:
    """An entity, and whether it is new."""

    entity: Entity
    is_new: bool


class EntityService:
    """The use cases of entities. `limits` None counts nothing."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: QuotaLimits | None = None,
        *,
        archive_deleted: bool = True,
    ) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.archive_deleted = archive_deleted

    async def register(self, new: NewEntity, caller: Caller) -> RegisteredEntity:
        """The entity of a name, made if there is none; names it lacks are added.

        Raises:
            InvalidInputError: a value that may not be stored.
            ConflictError: another memory has the name, or an entity that the caller may not see.
            QuotaExceededError: the agent's quota is used up.
        """
        name = must.title(new.canonical_name.strip(), "canonical_name")
        namespace = must.namespace(new.namespace)
        given = (alias.strip() for alias in new.aliases)
        others = [must.title(alias, "aliases") for alias in given if alias]
        aliases = list(dict.fromkeys((name, *others)))
        if len(aliases) > ALIASES_MAX:
            raise InvalidInputError(f"too many aliases (max {ALIASES_MAX})", fields=["aliases"])
        must.metadata(new.metadata)
        limits = None if caller.from_control_socket else self.limits
        command = RegisterEntity(
            namespace, name, aliases, new.metadata, caller, limits, self.archive_deleted
        )
        done = (await self.store.submit(command)).result
        names = await self.store.aliases_of(done.entity_id)
        return RegisteredEntity(Entity(done.entity_id, name, namespace, names), done.is_new)

    async def by_alias(self, alias: str, namespace: str | None, caller: Caller) -> Entity | None:
        """The newest entity of this exact name that the caller sees.

        Raises:
            InvalidInputError: a blank name, or no namespace.
        """
        wanted = alias.strip()
        if not wanted:
            raise InvalidInputError("alias cannot be empty", fields=["alias"])
        chosen = MemoryFilter(
            now=format_instant(self.clock.now()),
            viewer=caller.viewer(),
            namespaces=() if namespace is None else (must.namespace(namespace),),
        )
        found = await self.store.entity_by_alias(wanted, chosen)
        if found is None:
            return None
        names = await self.store.aliases_of(found.entity_id)
        return Entity(found.entity_id, found.canonical_name, found.namespace, names)

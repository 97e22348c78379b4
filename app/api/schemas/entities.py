"""Entities on the wire (http-api 3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from pydantic import Field

from app.api.schemas.body import Body
from app.domain.memory import Json
from app.services.entities import Entity, NewEntity, RegisteredEntity


class RegisterEntityBody(Body):
    """A thing, and what it is called."""

    canonical_name: str = Field(
        description="Its name in this namespace, also its first alias.", examples=["Ada Lovelace"]
    )
    namespace: str = Field(examples=["people"])
    aliases: list[str] | None = Field(
        default=None, description="Other names; blank ones are dropped.", examples=[["Ada", "AAL"]]
    )
    metadata: dict[str, object] | None = None
    agent_id: str | None = Field(default=None, description="Must agree with `X-Agent-Id`.")

    def new_entity(self) -> NewEntity:
        metadata = cast("Mapping[str, Json]", self.metadata or {})
        return NewEntity(self.canonical_name, self.namespace, self.aliases or (), metadata)


class RegisteredEntityBody(msgspec.Struct):
    """`created` is false when the entity was known; it has the new names, too."""

    entity_id: str
    canonical_name: str
    namespace: str
    aliases: Sequence[str]
    created: bool


class FoundEntityBody(msgspec.Struct):
    """Nulls and no aliases when nothing was found."""

    found: bool
    entity_id: str | None
    canonical_name: str | None
    namespace: str | None
    aliases: Sequence[str]


def registered_entity_body(done: RegisteredEntity) -> RegisteredEntityBody:
    entity = done.entity
    return RegisteredEntityBody(
        entity.entity_id, entity.canonical_name, entity.namespace, entity.aliases, done.is_new
    )


def found_entity_body(entity: Entity | None) -> FoundEntityBody:
    if entity is None:
        return FoundEntityBody(False, None, None, None, ())
    return FoundEntityBody(
        True, entity.entity_id, entity.canonical_name, entity.namespace, entity.aliases
    )

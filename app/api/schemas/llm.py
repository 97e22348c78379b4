"""Loading by family on the wire (http-api 3.11)."""

from __future__ import annotations

import msgspec
from pydantic import Field

from app.api.schemas.body import Body
from app.api.schemas.memory import memory_body
from app.services.loading import LoadedFamily


class LoadFamilyBody(Body):
    """Which family of memories (`metadata.family`)."""

    family: str = Field(
        description="core, lifecycle, graph, governance, power, meta, archive or other.",
        examples=["core"],
    )
    namespace: str | None = Field(default=None, description="Only this namespace, exactly.")
    k: int | None = Field(default=None, description="1 to 100, default 20.")


class LoadedBody(msgspec.Struct):
    """By priority, then recency."""

    family: str
    namespace: str | None
    k: int
    count: int
    memories: list[dict[str, object]]


def loaded_body(loaded: LoadedFamily) -> LoadedBody:
    memories: list[dict[str, object]] = [{**memory_body(one)} for one in loaded.memories]
    return LoadedBody(loaded.family, loaded.namespace, loaded.limit, len(memories), memories)

"""Entries written straight to a store, for rows that no route can make."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.domain.memory import Json, Memory
from app.log.entry import Draft
from app.store.protocol import Decided, Needs, View

_LONG_AGO = "2026-01-01T00:00:00.000000+00:00"


@dataclass(frozen=True)
class Append:
    """Appends these drafts, whatever stands."""

    drafts: Sequence[Draft]
    needs: Needs = field(default_factory=Needs)

    def decide(self, view: View) -> Decided[None]:
        return Decided(lambda _: None, self.drafts)


def plain_memory(title: str, metadata: Mapping[str, Json]) -> Memory:
    """A long memory with the metadata given and nothing more."""
    return Memory(
        id=str(uuid.uuid4()),
        tier="long",
        namespace="global",
        title=title,
        content=f"about {title}",
        tags=(),
        priority=5,
        confidence=1.0,
        source="api",
        access_count=0,
        created_at=_LONG_AGO,
        updated_at=_LONG_AGO,
        metadata=metadata,
    )

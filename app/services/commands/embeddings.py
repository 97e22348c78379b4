"""Vectors of memories, as entries: made once in the fleet (decisions on vectors)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.log import drafts
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from app.recall.embedding.protocol import Embedded
    from app.store.protocol import View

EMBEDDING_ACTOR: Final = "system"


@dataclass(frozen=True, slots=True)
class RecordVector:
    """One vector; the answer says whether its memory is still there to have it."""

    embedded: Embedded
    model: str

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.embedded.memory_id,))

    def decide(self, view: View) -> Decided[bool]:
        made = self.embedded
        found = view.snapshot(made.memory_id)
        if found is None or not found.is_live:
            return Decided(lambda _: False)
        draft = drafts.embedding(
            made.memory_id,
            made.content_hash,
            self.model,
            len(made.vector),
            made.vector.astype("<f2").tobytes(),
            EMBEDDING_ACTOR,
        )
        return Decided(lambda _: True, (draft,))

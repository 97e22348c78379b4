"""Vectors of memories, as entries: made once in the fleet (decisions on vectors)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.text import content_hash
from app.log import drafts
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from app.domain.memory import Memory
    from app.recall.embedding.protocol import Embedded
    from app.store.protocol import View

EMBEDDING_ACTOR: Final = "system"


@dataclass(frozen=True, slots=True)
class RecordVector:
    """One vector; the answer says whether its memory is still there, with this text, to have it."""

    embedded: Embedded
    model: str

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.embedded.memory_id,))

    def decide(self, view: View) -> Decided[bool]:
        made = self.embedded
        found = view.snapshot(made.memory_id)
        if found is None or not found.is_live or not _is_of(made, found.memory):
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


def _is_of(made: Embedded, memory: Memory) -> bool:
    return content_hash(memory.claimed_title, memory.content) == made.content_hash

"""The text that a memory's vector is made of, out of its state: the same on every node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.text import content_hash
from app.log.projection import snapshot, text_stamp
from app.log.state import decode_state
from app.store.protocol import Unembedded

if TYPE_CHECKING:
    from app.log.registers import Cells


def text_of(memory_id: str, state: bytes) -> Unembedded | None:
    """What is to be embedded; None while the state is partial or purged."""
    cells: Cells = decode_state("memory", state)
    found, written = snapshot(memory_id, cells), text_stamp(cells)
    if found is None or written is None:
        return None
    title, content = found.memory.title, found.memory.content
    return Unembedded(memory_id, content_hash(title, content), f"{title} {content}", written.origin)

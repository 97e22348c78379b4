"""What recalls left behind, as one entry (decisions on touch, semantics 5.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.log import drafts
from app.log.registers import Written
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.log.canonical import Value
    from app.log.projection import Snapshot
    from app.store.protocol import Usage, View


@dataclass(frozen=True, slots=True)
class TouchMemories:
    """Usage of many memories, but for rows that went away. Answers how many stood."""

    usages: Sequence[Usage]
    actor: str

    @property
    def needs(self) -> Needs:
        return Needs(memories=tuple(usage.memory_id for usage in self.usages))

    def decide(self, view: View) -> Decided[int]:
        writes: list[tuple[str, dict[str, Value]]] = []
        for usage in self.usages:
            found = view.snapshot(usage.memory_id)
            if found is not None and found.is_live:
                writes.append((usage.memory_id, _registers(found, usage, view.origin)))
        touched = (drafts.touch(writes, self.actor),) if writes else ()
        return Decided(lambda _: len(writes), touched)


def _registers(found: Snapshot, usage: Usage, origin: str) -> dict[str, Value]:
    written: dict[str, Value] = {
        "accesses": drafts.own_counter(found.cells, "accesses", origin) + usage.accesses,
        "accessed": usage.accessed_at,
    }
    base, now_expires = found.cells.get("expires"), found.memory.expires_at
    later = usage.expires_at
    # An extension belongs to the expiry that it extends, and never shortens it.
    lengthens = later is not None and now_expires is not None and later > now_expires
    if isinstance(base, Written) and lengthens:
        written["touched_expires"] = [base.stamp.hlc, base.stamp.origin, later]
    return written

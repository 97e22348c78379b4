"""One memory's row before and after a batch, and what of it must be written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from app.store.writing import rows

if TYPE_CHECKING:
    from app.log.projection import Snapshot
    from app.store.sql.selects import SqlValue


class Shown:
    """One memory's row before and after the batch."""

    __slots__ = ("collected", "contested", "id", "new", "old", "place", "was")

    def __init__(
        self,
        memory_id: str,
        old: Snapshot | None,
        new: Snapshot | None,
        was: str | None,
        place: str | None,
        collected: bool,
        *,
        contested: bool = True,
    ) -> None:
        self.id = memory_id
        self.old = old
        self.new = new
        self.was = was
        self.place = place
        self.collected = collected
        # Who wins the name may have changed, and with it the title that the row shows.
        self.contested = contested

    def name_changed(self) -> bool:
        if self.old is None or self.new is None or self.contested:
            return True
        old, new = self.old.memory, self.new.memory
        return (old.namespace, old.title) != (new.namespace, new.title)

    def text_changed(self) -> bool:
        """Whether the full-text row or the unique name must be rewritten."""
        if self.old is None or self.new is None:
            return True
        return self.name_changed() or rows.indexed_values(self.old.memory) != (
            rows.indexed_values(self.new.memory)
        )

    def content_changed(self) -> bool:
        """Whether the text itself, or whether it is live, differs."""
        if self.old is None or self.new is None:
            return True
        return self.old.memory.content != self.new.memory.content or self.old.life != self.new.life

    def meaning_changed(self) -> bool:
        """Whether a vector made before is now stale."""
        if self.old is None or self.new is None:
            return False  # a rival for a name: what shows differs, the text it means does not
        old, new = self.old.memory, self.new.memory
        return (old.claimed_title, old.content) != (new.claimed_title, new.content)

    def only_touched(self) -> bool:
        """Whether nothing but what a recall leaves behind differs."""
        if self.old is None or self.new is None or self.contested:
            return False
        new = self.new.memory
        touched = replace(
            self.old.memory,
            access_count=new.access_count,
            last_accessed_at=new.last_accessed_at,
            expires_at=new.expires_at,
        )
        return touched == new

    def touched(self) -> tuple[SqlValue, ...]:
        return (self.id, *rows.touched_values(cast("Snapshot", self.new).memory))

    def whole(self) -> tuple[SqlValue, ...]:
        found = cast("Snapshot", self.new)
        return (self.id, *rows.indexed_values(found.memory), *rows.plain_values(found))

    def plain(self) -> tuple[SqlValue, ...]:
        return (self.id, *rows.plain_values(cast("Snapshot", self.new)))

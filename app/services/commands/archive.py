"""Writes of many memories at once: archive, restore, forget, purge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from app.domain.errors import ConflictError, NotFoundError
from app.domain.timestamps import format_instant, parse_instant
from app.log import drafts
from app.log.projection import is_archived
from app.log.state import EntityKey
from app.services.commands import naming
from app.services.commands.memories import unbound_standards
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory
    from app.log.entry import Draft
    from app.services.caller import Caller
    from app.services.new_memory import TierLives
    from app.store.protocol import View


@dataclass(frozen=True, slots=True)
class Moved:
    """Which of the ids asked for moved, and which did not."""

    archived: Sequence[str]
    missing: Sequence[str]


@dataclass(frozen=True, slots=True)
class ArchiveMemories:
    """Into the archive, those that the caller owns, is addressed by, or nobody owns."""

    ids: Sequence[str]
    caller: Caller
    reason: str
    standards: Sequence[str] = ()

    @property
    def needs(self) -> Needs:
        keys = tuple(EntityKey("standard", one) for one in self.standards)
        return Needs(memories=self.ids, keys=keys)

    def decide(self, view: View) -> Decided[Moved]:
        moved: dict[str, None] = {}
        missing: list[str] = []
        for memory_id in dict.fromkeys(self.ids):
            found = view.snapshot(memory_id)
            if found is not None and found.is_current(view.now) and self._may(found.memory):
                moved[memory_id] = None
            else:
                missing.append(memory_id)
        if not moved:
            return Decided(lambda _: Moved((), missing))
        actor, ids = self.caller.agent_id, tuple(moved)
        unbound = unbound_standards(view, self.standards, ids, actor)
        gone = drafts.archive(ids, actor, view.now, self.reason)
        return Decided(lambda _: Moved(ids, missing), (*unbound, gone))

    def _may(self, memory: Memory) -> bool:
        return self.caller.owns(memory) or memory.inbox_target == self.caller.agent_id


@dataclass(frozen=True, slots=True)
class ForgetMemories:
    """Out of the live table, whoever owns them, expired or not. Answers how many went."""

    ids: Sequence[str]
    caller: Caller
    archive: bool
    standards: Sequence[str] = ()

    @property
    def needs(self) -> Needs:
        keys = tuple(EntityKey("standard", one) for one in self.standards)
        return Needs(memories=self.ids, keys=keys)

    def decide(self, view: View) -> Decided[int]:
        ids = tuple(one for one in self.ids if _is_live(view, one))
        if not ids:
            return Decided(lambda _: 0)
        actor = self.caller.agent_id
        unbound = unbound_standards(view, self.standards, ids, actor)
        gone = drafts.delete(ids, actor, view.now, archived=self.archive, reason="forget")
        return Decided(lambda _: len(ids), (*unbound, gone))


@dataclass(frozen=True, slots=True)
class RestoreMemory:
    """Back from the archive, to the tier and expiry that it had.

    An expiry that has passed would end the row at once, so such a row gets its tier's life anew.
    """

    memory_id: str
    caller: Caller
    lives: TierLives
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.memory_id,))

    def decide(self, view: View) -> Decided[Memory]:
        found = view.snapshot(self.memory_id)
        if found is not None and found.is_current(view.now):
            if not self.caller.sees(found.memory):
                raise NotFoundError("not found in archive")
            raise ConflictError("memory is already live", existing_id=self.memory_id)
        if found is None or not (is_archived(found) or found.is_live):
            raise NotFoundError("not found in archive")
        memory = found.memory
        if not (self.caller.owns(memory) or memory.inbox_target == self.caller.agent_id):
            raise NotFoundError("not found in archive")
        actor = self.caller.agent_id
        clearing = self._freed_name(view, memory)
        expires_at = restored_expiry(memory, self.lives, view.now)
        draft = drafts.restore(found, expires_at, actor, view.now, view.origin)
        return Decided(lambda then: _shown(then, memory), (*clearing, draft))

    def _freed_name(self, view: View, memory: Memory) -> Sequence[Draft]:
        holder = view.holder(memory.namespace, memory.title)
        if holder is None or holder.memory.id == memory.id:
            return ()
        actor = self.caller.agent_id
        place = naming.look(
            view, memory.namespace, memory.title, actor, archive=self.archive_expired
        )
        if place.holder is not None:
            raise naming.title_taken(place, place.holder, self.caller)
        return place.clearing


@dataclass(frozen=True, slots=True)
class PurgeArchived:
    """Erase archived rows for good. Answers how many went."""

    ids: Sequence[str]
    caller: Caller

    @property
    def needs(self) -> Needs:
        return Needs(memories=self.ids)

    def decide(self, view: View) -> Decided[int]:
        ids = tuple(one for one in self.ids if self._is_in_archive(view, one))
        if not ids:
            return Decided(lambda _: 0)
        return Decided(lambda _: len(ids), (drafts.purge(ids, self.caller.agent_id, view.now),))

    def _is_in_archive(self, view: View, memory_id: str) -> bool:
        found = view.snapshot(memory_id)
        if found is None or not (is_archived(found) or found.is_live):
            return False
        # A row that was restored, or lives on after a late touch, is not erased by an old list.
        return not found.is_current(view.now)


def _is_live(view: View, memory_id: str) -> bool:
    found = view.snapshot(memory_id)
    return found is not None and found.is_live


def _shown(view: View, memory: Memory) -> Memory:
    found = view.snapshot(memory.id)
    return memory if found is None else found.memory


def restored_expiry(memory: Memory, lives: TierLives, now: str) -> str | None:
    """The expiry of a restored row: its own, or its tier's life anew when that has passed."""
    if memory.expires_at is None or memory.expires_at > now:
        return memory.expires_at
    seconds = lives.seconds(memory.tier)
    if seconds is None:
        return None
    return format_instant(parse_instant(now) + timedelta(seconds=seconds))

"""Rows and links out of an export, written here (http-api 3.11, import)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.domain.errors import ConflictError, NotFoundError, NotOwnerError
from app.log import drafts
from app.log.kinds.links import link_key
from app.log.names import Name
from app.log.projection import project_link
from app.log.state import EntityKey
from app.services.commands import naming
from app.services.commands.memories import stored_bytes, upserted
from app.services.commands.revival import is_usable, without_leftovers
from app.store.protocol import Charge, Decided, Needs

if TYPE_CHECKING:
    from app.domain.memory import Memory, MemoryLink
    from app.log.projection import Snapshot
    from app.services.caller import Caller
    from app.store.protocol import QuotaLimits, View


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """The id under which a row now stands, and whether it is new here."""

    memory_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class ImportMemory:
    """A checked row, already owned by whom it shall belong to.

    It keeps its id unless that was erased here or belonged to somebody else; then it takes
    `spare_id`. `limits` None charges nothing.
    """

    memory: Memory
    spare_id: str
    caller: Caller
    limits: QuotaLimits | None
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        memory = self.memory
        return Needs(
            memories=(memory.id,),
            names=(Name(memory.namespace, memory.title),),
            quotas=((self.caller.agent_id, memory.namespace),) if self.limits else (),
        )

    def decide(self, view: View) -> Decided[ImportedRow]:
        memory, actor = self.memory, self.caller.agent_id
        known = view.snapshot(memory.id)
        place = naming.look(
            view, memory.namespace, memory.title, actor, archive=self.archive_expired
        )
        standing = place.holder or _under_its_alias(view, known, memory)
        if standing is not None:
            return self._merged(view, standing)
        if known is not None and known.is_current(view.now):
            raise ConflictError("this id stands under another title", existing_id=memory.id)
        self._charge(view)
        if not is_usable(view.cells(EntityKey("memory", memory.id))) or not _same_owner(
            known, memory
        ):
            # The first owner of an id stays its owner, so another one's row needs another id.
            known, memory = None, replace(memory, id=self.spare_id)
        is_new = view.cells(EntityKey("memory", memory.id)) is None
        draft = without_leftovers(drafts.store(memory, actor, is_new=is_new), known, memory)
        return Decided(lambda _: ImportedRow(memory.id, is_new=True), (*place.clearing, draft))

    def _merged(self, view: View, standing: Snapshot) -> Decided[ImportedRow]:
        old = standing.memory
        if old.owner not in {None, self.memory.owner} and not self.caller.owns(old):
            raise NotOwnerError("caller does not own this memory", caller=self.caller.agent_id)
        self._charge(view)
        after = upserted(old, self.memory)
        draft = drafts.update(standing, after, self.caller.agent_id, view.origin)
        return Decided(
            lambda _: ImportedRow(old.id, is_new=False), () if draft is None else (draft,)
        )

    def _charge(self, view: View) -> None:
        if self.limits is not None:
            memory = self.memory
            cost = Charge(
                self.caller.agent_id, memory.namespace, 1, storage_bytes=stored_bytes(memory)
            )
            view.charge(cost, self.limits)


@dataclass(frozen=True, slots=True)
class ImportLink:
    """A checked link; one that is already here stays as it is."""

    link: MemoryLink
    caller: Caller
    limits: QuotaLimits | None

    @property
    def needs(self) -> Needs:
        link = self.link
        return Needs(
            memories=(link.source_id, link.target_id),
            keys=(link_key(link.source_id, link.target_id, link.relation),),
        )

    def decide(self, view: View) -> Decided[bool]:
        link = self.link
        source, target = view.snapshot(link.source_id), view.snapshot(link.target_id)
        for end in (source, target):
            if end is None or not end.is_current(view.now):
                raise NotFoundError("an end of the link is missing")
        key = link_key(link.source_id, link.target_id, link.relation)
        if project_link(key.key, view.cells(key) or {}) is not None:
            return Decided(lambda _: False)
        if self.limits is not None and source is not None:
            cost = Charge(self.caller.agent_id, source.memory.namespace, links=1)
            view.charge(cost, self.limits)
        return Decided(lambda _: True, (drafts.link([link], self.caller.agent_id),))


def _under_its_alias(view: View, known: Snapshot | None, memory: Memory) -> Snapshot | None:
    """The row itself, when it lost its name and was exported under the alias that it shows."""
    if known is None or not known.is_current(view.now):
        return None
    shown = known.memory
    same = (shown.namespace, shown.title) == (memory.namespace, memory.title)
    return known if same else None


def _same_owner(known: Snapshot | None, memory: Memory) -> bool:
    return known is None or known.memory.owner in {None, memory.owner}

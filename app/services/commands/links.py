"""Writes of links: create, remove, end the validity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.errors import NotFoundError, NotOwnerError
from app.log import drafts
from app.log.kinds.links import link_key
from app.log.projection import project_link
from app.store.protocol import Charge, Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.services.caller import Caller
    from app.store.protocol import QuotaLimits, View


@dataclass(frozen=True, slots=True)
class Ends:
    """The two memories of a link, by id."""

    source_id: str
    target_id: str


@dataclass(frozen=True, slots=True)
class CreateLink:
    """A link that its maker has signed already, if it signs at all; `limits` None is no charge.

    A link that exists stays as it is (semantics 10: duplicates are ignored).
    """

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

    def decide(self, view: View) -> Decided[MemoryLink]:
        link, caller = self.link, self.caller
        source = owned_source(view, Ends(link.source_id, link.target_id), caller)
        target = seen(view, link.target_id, caller)
        if target is None:
            raise NotFoundError("target memory not found", target_id=link.target_id)
        standing = stored_link(view, link)
        if standing is not None:
            return Decided(lambda _: standing)
        if self.limits is not None:
            view.charge(Charge(caller.agent_id, source.namespace, links=1), self.limits)
        return Decided(lambda _: link, (drafts.link([link], caller.agent_id),))


@dataclass(frozen=True, slots=True)
class RemoveLinks:
    """Links of these relations from one memory to another; answers how many went."""

    ends: Ends
    relations: Sequence[str]
    caller: Caller

    @property
    def needs(self) -> Needs:
        source_id, target_id = self.ends.source_id, self.ends.target_id
        return Needs(
            memories=(source_id, target_id),
            keys=tuple(link_key(source_id, target_id, one) for one in self.relations),
        )

    def decide(self, view: View) -> Decided[int]:
        if not _may_remove(view, self.ends, self.caller):
            return Decided(lambda _: 0)
        gone = [
            link
            for relation in self.relations
            if (link := _standing(view, self.ends, relation)) is not None
        ]
        drafted = (drafts.unlink(gone, self.caller.agent_id),) if gone else ()
        return Decided(lambda _: len(gone), drafted)


@dataclass(frozen=True, slots=True)
class Invalidated:
    """When a link's validity ends now, and when it ended before."""

    valid_until: str
    previous_valid_until: str | None


@dataclass(frozen=True, slots=True)
class InvalidateLink:
    """The end of a link's validity; `valid_until` None is now (semantics 1.10)."""

    ends: Ends
    relation: str
    valid_until: str | None
    caller: Caller

    @property
    def needs(self) -> Needs:
        source_id, target_id = self.ends.source_id, self.ends.target_id
        return Needs(memories=(source_id,), keys=(link_key(source_id, target_id, self.relation),))

    def decide(self, view: View) -> Decided[Invalidated]:
        ends, caller = self.ends, self.caller
        missing = {
            "found": False,
            "source_id": ends.source_id,
            "target_id": ends.target_id,
            "relation": self.relation,
        }
        if seen(view, ends.source_id, caller) is None:
            raise NotFoundError("source memory not found", **missing)
        owned_source(view, ends, caller)
        link = _standing(view, ends, self.relation)
        # A link to a memory that the caller may not see does not exist for it.
        if link is None or seen(view, ends.target_id, caller) is None:
            raise NotFoundError("link not found", **missing)
        until = self.valid_until or view.now
        done = Invalidated(until, link.valid_until)
        if until == link.valid_until:
            return Decided(lambda _: done)
        return Decided(lambda _: done, (drafts.invalidate(link, until, caller.agent_id),))


def seen(view: View, memory_id: str, caller: Caller) -> Memory | None:
    """The memory, when it is live, unexpired and the caller may see it."""
    found = view.snapshot(memory_id)
    if found is None or not found.is_current(view.now) or not caller.sees(found.memory):
        return None
    return found.memory


def owned_source(view: View, ends: Ends, caller: Caller) -> Memory:
    """The memory at a link's near end, if the caller may write links from it.

    Raises:
        NotFoundError: there is none that the caller may see.
        NotOwnerError: another agent's, and not addressed to the caller.
    """
    source = seen(view, ends.source_id, caller)
    if source is None:
        raise NotFoundError("source memory not found", source_id=ends.source_id)
    if not (caller.owns(source) or source.inbox_target == caller.agent_id):
        raise not_source_owner(source, caller)
    return source


def not_source_owner(source: Memory, caller: Caller) -> NotOwnerError:
    """The refusal to write, or read the history of, another agent's links (http-api 1.6)."""
    return NotOwnerError(
        "caller does not own this source memory",
        owner=source.owner,
        caller=caller.agent_id,
        source_id=source.id,
    )


def stored_link(view: View, link: MemoryLink) -> MemoryLink | None:
    """The link with the same ends and relation that stands now."""
    return _standing(view, Ends(link.source_id, link.target_id), link.relation)


def _standing(view: View, ends: Ends, relation: str) -> MemoryLink | None:
    key = link_key(ends.source_id, ends.target_id, relation)
    cells = view.cells(key)
    return None if cells is None else project_link(key.key, cells)


def _may_remove(view: View, ends: Ends, caller: Caller) -> bool:
    """Whether the caller owns an end; False when it sees neither, so that nothing is there.

    Raises:
        NotOwnerError: the ends that it sees belong to other agents.
    """
    source, target = (seen(view, one, caller) for one in (ends.source_id, ends.target_id))
    known = [memory for memory in (source, target) if memory is not None]
    if any(caller.owns(memory) for memory in known):
        return True
    if not known:
        return False
    raise NotOwnerError(
        "caller does not own either endpoint of this link",
        source_owner=source.owner if source else None,
        target_owner=target.owner if target else None,
        caller=caller.agent_id,
        source_id=ends.source_id,
        target_id=ends.target_id,
    )

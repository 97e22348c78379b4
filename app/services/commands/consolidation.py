"""The write that puts one memory in the place of several (semantics 5.10)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.memory import SCOPES
from app.log import drafts
from app.log.names import Name
from app.log.state import EntityKey
from app.services.commands import naming
from app.services.commands.links import seen
from app.services.commands.memories import current, unbound_standards
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json, Memory
    from app.services.caller import Caller
    from app.store.protocol import View

_PRIORITY_MIN: Final = 5
# What belongs to one row or to who may read it; never inherited.
_OWN_KEYS: Final = frozenset(
    {"agent_id", "scope", "target_agent_id", "governance", "attest_level", "name_conflict"}
)


@dataclass(frozen=True, slots=True)
class Consolidate:
    """A memory made from `sources`, which go to the archive in the same entry.

    `frame` has the new row's own values; its content is "" when the titles of the sources are to
    be the summary, and tags, priority, access count and metadata come from the sources. `standards`
    are namespaces whose standard a source may be.
    """

    frame: Memory
    sources: Sequence[str]
    caller: Caller
    standards: Sequence[str] = ()
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        return Needs(
            memories=(self.frame.id, *self.sources),
            names=(Name(self.frame.namespace, self.frame.title),),
            keys=tuple(EntityKey("standard", one) for one in self.standards),
        )

    def decide(self, view: View) -> Decided[Memory]:
        actor = self.caller.agent_id
        sources = [self._source(view, one) for one in self.sources]
        place = naming.look(
            view, self.frame.namespace, self.frame.title, actor, archive=self.archive_expired
        )
        # A source may give its own title up to the summary.
        if place.holder is not None and place.holder.memory.id not in self.sources:
            raise naming.taken(place, place.holder, self.caller)
        memory = merged(self.frame, sources, actor)
        unbound = unbound_standards(view, self.standards, self.sources, actor)
        draft = drafts.consolidate(memory, self.sources, (), actor, view.now)
        return Decided(
            lambda after: current(after, memory.id).memory, (*place.clearing, *unbound, draft)
        )

    def _source(self, view: View, memory_id: str) -> Memory:
        found = seen(view, memory_id, self.caller)
        if found is None:
            raise InvalidInputError(f"memory not found: {memory_id}", fields=["ids"])
        self.caller.require_owner(found)
        return found


def merged(frame: Memory, sources: Sequence[Memory], actor: str) -> Memory:
    """The row that stands for its sources.

    Raises:
        InvalidInputError: together, their metadata is more than one row may hold.
    """
    tags = sorted({tag for source in sources for tag in source.tags})
    return replace(
        frame,
        content=frame.content or summary_of_titles([source.title for source in sources]),
        tags=tuple(tags[: must.TAGS_MAX]),
        priority=max(_PRIORITY_MIN, *(source.priority for source in sources)),
        access_count=sum(source.access_count for source in sources),
        metadata=_metadata(sources, actor),
        reflection_depth=max(source.reflection_depth for source in sources),
    )


def summary_of_titles(titles: Sequence[str]) -> str:
    """What stands for a summary when nobody wrote one, cut to what a content may hold."""
    text = f"Consolidated summary of {len(titles)} memories: {'; '.join(titles)}"
    cut = text.encode()[: must.CONTENT_BYTES_MAX]
    return cut.decode("utf-8", "ignore")


def _metadata(sources: Sequence[Memory], actor: str) -> Mapping[str, Json]:
    inherited: dict[str, Json] = {}
    for source in sources:
        inherited.update(
            (key, value) for key, value in source.metadata.items() if key not in _OWN_KEYS
        )
    # No reader may see through the summary what it could not see before.
    scope = min((source.scope for source in sources), key=SCOPES.index)
    authors: list[Json] = [*dict.fromkeys(one.owner for one in sources if one.owner is not None)]
    found: dict[str, Json] = {
        **inherited,
        **({} if scope == SCOPES[0] else {"scope": scope}),
        "derived_from": [source.id for source in sources],
        "consolidated_from_agents": authors,
        "agent_id": actor,
    }
    must.metadata(found)
    return found

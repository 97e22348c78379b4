"""Writes of namespaces' standards (semantics 2.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.domain.errors import InvalidInputError, NotOwnerError
from app.domain.memory import Memory
from app.domain.policy import merged_policy
from app.log import drafts
from app.log.names import Name
from app.log.projection import SYSTEM_OWNER, project_standard
from app.log.state import EntityKey
from app.services.commands import naming
from app.services.commands.links import seen
from app.services.derived_ids import derived_id, free_derived_id
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json
    from app.log.canonical import Value
    from app.log.entry import Draft
    from app.log.projection import Snapshot, StandardBinding
    from app.services.caller import Caller
    from app.store.protocol import View

PLACEHOLDER_TAG: Final = "_namespace_standard"
SHARED_SCOPE: Final = "collective"
_KIND: Final = "standard"


@dataclass(frozen=True, slots=True)
class StandardSet:
    """What stands after a standard was set; `governance` is None when none was given."""

    namespace: str
    standard_id: str
    parent: str | None
    governance: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class _Lead:
    """The memory that leads a namespace, and what must be written for it to do so."""

    memory: Memory
    writes: Sequence[dict[str, Value]]
    clearing: Sequence[Draft] = ()


@dataclass(frozen=True, slots=True)
class SetStandard:
    """A memory becomes a namespace's standard, with a policy merged into it.

    Without `memory_id` the present standard stays, or a placeholder is made. `archive_expired` says
    what becomes of an expired row that holds the placeholder's title.
    """

    namespace: str
    memory_id: str | None
    parent: str | None
    governance: Mapping[str, Json] | None
    caller: Caller
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        title = placeholder_title(self.namespace)
        own_id = self.memory_id or derived_id(_KIND, self.namespace, title)
        named = (self.namespace, *shorter_names(self.namespace))
        return Needs(
            memories=(own_id,),
            names=(Name(self.namespace, title),),
            keys=tuple(EntityKey("standard", one) for one in named),
        )

    def decide(self, view: View) -> Decided[StandardSet]:
        binding = bound(view, self.namespace)
        _require_standard_owner(view, binding, self.caller)
        present = self._standing(view, binding)
        lead = self._placeholder(view) if present is None else self._governed_row(view, present)
        parent = self._parent(view, binding)
        standard_id, governance = lead.memory.id, lead.memory.metadata.get("governance")
        draft = drafts.standard_set(
            self.namespace, standard_id, parent, view.now, lead.writes, self.caller.agent_id
        )
        shown = governance if self.governance and isinstance(governance, dict) else None
        done = StandardSet(self.namespace, standard_id, parent, shown)
        return Decided(lambda _: done, (*lead.clearing, draft))

    def _governed_row(self, view: View, present: Snapshot) -> _Lead:
        _require_owner(present.memory, self.caller)
        after = self._claimed(present.memory, view.now)
        changed = drafts.update_write(present, after, view.origin)
        return _Lead(after, () if changed is None else (changed,))

    def _standing(self, view: View, binding: StandardBinding | None) -> Snapshot | None:
        """The memory that is to be the standard; None when a placeholder must be made."""
        if self.memory_id is not None:
            if seen(view, self.memory_id, self.caller) is None:
                raise InvalidInputError(f"memory not found: {self.memory_id}", fields=["id"])
            return view.snapshot(self.memory_id)
        present = None if binding is None else view.snapshot(binding.standard_id)
        if present is not None and present.is_current(view.now):
            return present
        held = view.holder(self.namespace, placeholder_title(self.namespace))
        return held if held is not None and held.is_current(view.now) else None

    def _placeholder(self, view: View) -> _Lead:
        namespace, caller = self.namespace, self.caller
        title = placeholder_title(namespace)
        place = naming.look(view, namespace, title, caller.agent_id, archive=self.archive_expired)
        memory = self._governed(
            Memory(
                id=free_derived_id(view, _KIND, namespace, title, caller),
                tier="long",
                namespace=namespace,
                title=title,
                content=f"namespace standard for {namespace}",
                tags=(PLACEHOLDER_TAG,),
                priority=5,
                confidence=1.0,
                source="system",
                access_count=0,
                created_at=view.now,
                updated_at=view.now,
                metadata={"agent_id": caller.agent_id, "scope": SHARED_SCOPE},
            )
        )
        return _Lead(memory, (drafts.store_write(memory),), place.clearing)

    def _claimed(self, memory: Memory, now: str) -> Memory:
        """The row with its policy; one without a real owner becomes the caller's and shared."""
        governed = self._governed(memory)
        if memory.owner in {None, SYSTEM_OWNER}:
            metadata = {"scope": SHARED_SCOPE, **governed.metadata}
            governed = replace(governed, metadata={**metadata, "agent_id": self.caller.agent_id})
        return governed if governed == memory else replace(governed, updated_at=now)

    def _governed(self, memory: Memory) -> Memory:
        if self.governance is None:
            return memory
        policy = merged_policy(memory.metadata.get("governance"), self.governance)
        return replace(memory, metadata={**memory.metadata, "governance": policy})

    def _parent(self, view: View, binding: StandardBinding | None) -> str | None:
        """The given parent, else the one that stands, else the longest `-` prefix that has one."""
        if self.parent is not None:
            return self.parent
        if binding is not None and binding.parent_namespace is not None:
            return binding.parent_namespace
        named = (one for one in shorter_names(self.namespace) if bound(view, one) is not None)
        return next(named, None)


@dataclass(frozen=True, slots=True)
class ClearStandard:
    """No standard any more; answers whether there was one. The memory stays."""

    namespace: str
    caller: Caller

    @property
    def needs(self) -> Needs:
        return Needs(keys=(EntityKey("standard", self.namespace),))

    def decide(self, view: View) -> Decided[bool]:
        binding = bound(view, self.namespace)
        if binding is None:
            return Decided(lambda _: False)
        if not self.caller.is_admin:
            _require_standard_owner(view, binding, self.caller)
        draft = drafts.standard_clear(self.namespace, binding.standard_id, self.caller.agent_id)
        return Decided(lambda _: True, (draft,))


def placeholder_title(namespace: str) -> str:
    """What a standard is called that nobody wrote."""
    return f"_standard:{namespace}"


def shorter_names(namespace: str) -> Sequence[str]:
    """The name without its last `-part`, then without the last two, and so on."""
    parts = namespace.split("-")
    names = ("-".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
    return [one for one in names if one and not one.endswith(("/", "-"))]


def bound(view: View, namespace: str) -> StandardBinding | None:
    """The standard's binding, if there is one now."""
    cells = view.cells(EntityKey("standard", namespace))
    return None if cells is None else project_standard(namespace, cells)


def _require_standard_owner(view: View, binding: StandardBinding | None, caller: Caller) -> None:
    found = None if binding is None else view.snapshot(binding.standard_id)
    if found is not None and found.is_current(view.now):
        _require_owner(found.memory, caller)


def _require_owner(memory: Memory, caller: Caller) -> None:
    """Let the owner pass; what nobody or the system owns is open (semantics 2.3).

    Raises:
        NotOwnerError: with `owner` when the caller may see the row.
    """
    if caller.owns(memory) or memory.owner == SYSTEM_OWNER:
        return
    known = {"owner": memory.owner} if caller.sees(memory) else {}
    raise NotOwnerError(
        "caller does not own this namespace standard", **known, caller=caller.agent_id
    )

"""Registrations of agents: memories of a known form in `_agents` (semantics 1.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from app.domain.errors import NotFoundError
from app.domain.memory import Memory
from app.log import drafts
from app.log.names import Name
from app.log.state import EntityKey
from app.services.commands import naming
from app.services.commands.revival import is_usable, without_leftovers
from app.store.protocol import Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Json
    from app.log.entry import Draft
    from app.log.projection import Snapshot
    from app.services.caller import Caller
    from app.store.protocol import View

AGENTS_NAMESPACE: Final = "_agents"
TITLE_PREFIX: Final = "agent:"
REGISTRATION_TAG: Final = "agent-registration"

_FACTS: Final = (
    "agent_id",
    "agent_type",
    "capabilities",
    "registered_at",
    "last_seen_at",
    "agent_pubkey",
    "pubkey_bound_at",
)
_ERASED_IDS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent; `memory_id` is its row in `_agents`."""

    memory_id: str
    agent_id: str
    agent_type: str
    capabilities: tuple[str, ...]
    registered_at: str
    last_seen_at: str


def agent_of(row: Memory) -> Agent:
    """The agent of a registration's row, whatever else was written into it."""
    kinds = row.metadata.get("capabilities")
    return Agent(
        memory_id=row.id,
        agent_id=row.title.removeprefix(TITLE_PREFIX),
        agent_type=_text(row.metadata.get("agent_type"), ""),
        capabilities=tuple(str(one) for one in kinds) if isinstance(kinds, list) else (),
        registered_at=_text(row.metadata.get("registered_at"), row.created_at),
        last_seen_at=_text(row.metadata.get("last_seen_at"), row.updated_at),
    )


def registration_id(agent_id: str, erased: int = 0) -> str:
    """The same on every node, so that two nodes that register one agent make one row.

    `erased` counts ids before this one that were purged and cannot come back.
    """
    return str(uuid5(NAMESPACE_URL, f"{TITLE_PREFIX}{agent_id}{'#' * erased}"))


@dataclass(frozen=True, slots=True)
class RegisterAgent:
    """A new agent, or what has changed about a known one. All values are checked ones."""

    agent_id: str
    agent_type: str
    capabilities: Sequence[str]
    caller: Caller
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        return _needs(self.agent_id)

    def decide(self, view: View) -> Decided[Agent]:
        actor = self.caller.agent_id
        place = naming.look(
            view, AGENTS_NAMESPACE, _title(self.agent_id), actor, archive=self.archive_expired
        )
        before = place.holder or _former(view, self.agent_id)
        known = before if before is not None and before.is_current(view.now) else None
        row = self._row(view, known)
        draft = drafts.agent(self.agent_id, known, row, actor, view.origin)
        if known is None:
            draft = without_leftovers(draft, before, row)
        return _registered(row.id, (*place.clearing, draft))

    def _row(self, view: View, known: Snapshot | None) -> Memory:
        old = {} if known is None else known.memory.metadata
        metadata: dict[str, Json] = {
            **old,
            "agent_id": self.agent_id,
            "agent_type": self.agent_type,
            "capabilities": list(self.capabilities),
            "registered_at": _text(old.get("registered_at"), view.now),
            "last_seen_at": view.now,
            "scope": "collective",
        }
        row = Memory(
            id=_usable_id(view, self.agent_id),
            tier="long",
            namespace=AGENTS_NAMESPACE,
            title=_title(self.agent_id),
            content="",
            tags=(REGISTRATION_TAG,),
            priority=5,
            confidence=1.0,
            source="system",
            access_count=0,
            created_at=view.now,
            updated_at=view.now,
        )
        if known is not None:
            row = replace(known.memory, title=row.title, namespace=row.namespace, expires_at=None)
        return _with_facts(row, metadata, view.now)


@dataclass(frozen=True, slots=True)
class BindKey:
    """The public key that a registered agent signs with; `key` is base64."""

    agent_id: str
    key: str
    caller: Caller

    @property
    def needs(self) -> Needs:
        return _needs(self.agent_id)

    def decide(self, view: View) -> Decided[Agent]:
        found = view.holder(AGENTS_NAMESPACE, _title(self.agent_id))
        if found is None or not found.is_current(view.now):
            raise NotFoundError(f"agent '{self.agent_id}' is not registered")
        metadata: dict[str, Json] = {
            **found.memory.metadata,
            "agent_pubkey": self.key,
            "pubkey_bound_at": view.now,
        }
        row = _with_facts(found.memory, metadata, view.now)
        draft = drafts.agent(self.agent_id, found, row, self.caller.agent_id, view.origin)
        return _registered(row.id, (draft,))


def _needs(agent_id: str) -> Needs:
    return Needs(
        memories=(registration_id(agent_id),), names=(Name(AGENTS_NAMESPACE, _title(agent_id)),)
    )


def _title(agent_id: str) -> str:
    return TITLE_PREFIX + agent_id


def _usable_id(view: View, agent_id: str) -> str:
    for erased in range(_ERASED_IDS_MAX):
        found = registration_id(agent_id, erased)
        if is_usable(view.cells(EntityKey("memory", found))):
            return found
    raise NotFoundError(f"every registration of agent '{agent_id}' was erased")


def _former(view: View, agent_id: str) -> Snapshot | None:
    """The row that had the id: deleted, or live under a name that somebody gave it."""
    return view.snapshot(_usable_id(view, agent_id))


def _with_facts(row: Memory, metadata: dict[str, Json], now: str) -> Memory:
    facts = {key: metadata[key] for key in _FACTS if key in metadata}
    content = msgspec.json.encode(facts).decode()
    return replace(row, content=content, metadata=metadata, updated_at=now)


def _registered(memory_id: str, made: Sequence[Draft]) -> Decided[Agent]:
    def result(after: View) -> Agent:
        found = after.snapshot(memory_id)
        assert found is not None
        return agent_of(found.memory)

    return Decided(result, tuple(made))


def _text(value: object, absent: str) -> str:
    return value if isinstance(value, str) else absent

"""Writes of single memories: store, update, promote, delete."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from app.domain.errors import (
    ConflictError,
    NotFoundError,
    NotOwnerError,
    VersionConflictError,
)
from app.domain.memory import STICKY_KINDS, TIER_RANKS, Memory
from app.domain.validation import utf8_length
from app.log import drafts
from app.log.names import Name
from app.log.projection import project_standard
from app.log.state import EntityKey
from app.services.commands import naming
from app.store.protocol import Charge, Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json
    from app.log.entry import Draft
    from app.log.projection import Snapshot
    from app.services.caller import Caller
    from app.store.protocol import QuotaLimits, View

T = TypeVar("T")

DELETE_REASON: Final = "delete"


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What a store left: the row as it stands, and whether it was there before."""

    memory: Memory
    is_new: bool


@dataclass(frozen=True, slots=True)
class StoreMemory:
    """A new memory, or what `on_conflict` makes of one whose name is taken.

    `limits` None charges nothing; `text_key` None lets near-duplicates in; `archive_expired` says
    what becomes of an expired row that still holds the name.
    """

    memory: Memory
    caller: Caller
    on_conflict: str
    limits: QuotaLimits | None
    text_key: bytes | None
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        memory = self.memory
        return Needs(
            memories=(memory.id,),
            names=(Name(memory.namespace, memory.title),),
            quotas=((self.caller.agent_id, memory.namespace),) if self.limits else (),
            text_hashes=(self.text_key,) if self.text_key else (),
        )

    def decide(self, view: View) -> Decided[StoredRow]:
        memory, actor = self.memory, self.caller.agent_id
        place = naming.look(
            view, memory.namespace, memory.title, actor, archive=self.archive_expired
        )
        if place.holder is not None:
            if self.on_conflict == "merge":
                return self._merge(view, place.holder)
            if self.on_conflict == "error":
                raise naming.taken(place, place.holder, self.caller)
            place = naming.versioned(view, place, actor, archive=self.archive_expired)
            memory = replace(memory, title=place.name.title)
        self._refuse_near_duplicate(view)
        self._charge(view)
        stored_id = memory.id
        is_new = view.cells(EntityKey("memory", stored_id)) is None
        return Decided(
            lambda after: StoredRow(_standing(after, stored_id), is_new=True),
            (*place.clearing, drafts.store(memory, actor, is_new=is_new)),
        )

    def _merge(self, view: View, holder: Snapshot) -> Decided[StoredRow]:
        old = holder.memory
        if not self.caller.owns(old):
            seen = {"owner": old.owner} if self.caller.sees(old) else {}
            raise NotOwnerError(
                "caller does not own this memory", **seen, caller=self.caller.agent_id
            )
        self._charge(view)
        after = upserted(old, self.memory)
        draft = drafts.update(holder, after, self.caller.agent_id, view.origin)
        return Decided(
            lambda then: StoredRow(_standing(then, old.id), is_new=False),
            () if draft is None else (draft,),
        )

    def _refuse_near_duplicate(self, view: View) -> None:
        """Refuse a text that differs from a stored one only where no reader looks.

        Equal bytes under another title are let in, as in v0.7.0, and so is a twin that the caller
        may not see.
        """
        if self.text_key is None:
            return
        for memory_id in view.same_text(self.text_key):
            found = view.snapshot(memory_id)
            if found is None or not found.is_current(view.now):
                continue
            twin = found.memory
            if (
                twin.namespace == self.memory.namespace
                and twin.content != self.memory.content
                and self.caller.sees(twin)
            ):
                raise near_duplicate(twin)

    def _charge(self, view: View) -> None:
        if self.limits is not None:
            memory = self.memory
            view.charge(
                Charge(
                    self.caller.agent_id, memory.namespace, 1, storage_bytes=stored_bytes(memory)
                ),
                self.limits,
            )


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update sets; None leaves a field alone. All values are checked ones.

    `expires_at` "" clears the expiry.
    """

    title: str | None = None
    content: str | None = None
    tier: str | None = None
    namespace: str | None = None
    tags: Sequence[str] | None = None
    priority: int | None = None
    confidence: float | None = None
    expires_at: str | None = None
    metadata: Mapping[str, Json] | None = None
    merge_metadata: bool = False
    source_uri: str | None = None


@dataclass(frozen=True, slots=True)
class UpdateMemory:
    """Changes to a memory; `expected_version` None takes any version."""

    memory_id: str
    changes: Changes
    caller: Caller
    expected_version: int | None = None
    archive_expired: bool = True

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.memory_id,))

    def decide(self, view: View) -> Decided[Memory]:
        before = current(view, self.memory_id)
        self.caller.require_owner(before.memory)
        _require_version(before.memory, self.expected_version)
        after = changed(before.memory, self.changes, view.now)
        clearing: Sequence[Draft] = ()
        if (after.namespace, after.title) != (before.memory.namespace, before.memory.title):
            actor = self.caller.agent_id
            place = naming.look(
                view, after.namespace, after.title, actor, archive=self.archive_expired
            )
            if place.holder is not None and place.holder.memory.id != after.id:
                raise naming.title_taken(place, place.holder, self.caller)
            clearing = place.clearing
        draft = drafts.update(before, after, self.caller.agent_id, view.origin)
        return Decided(
            lambda then: _standing(then, after.id),
            clearing if draft is None else (*clearing, draft),
        )


@dataclass(frozen=True, slots=True)
class PromoteMemory:
    """To the long tier, without expiry."""

    memory_id: str
    caller: Caller

    @property
    def needs(self) -> Needs:
        return Needs(memories=(self.memory_id,))

    def decide(self, view: View) -> Decided[Memory]:
        before = current(view, self.memory_id)
        self.caller.require_owner(before.memory)
        after = replace(before.memory, tier="long", expires_at=None, updated_at=view.now)
        draft = drafts.promote(before, after, self.caller.agent_id, view.origin)
        return Decided(lambda then: _standing(then, after.id), () if draft is None else (draft,))


@dataclass(frozen=True, slots=True)
class DeleteMemory:
    """Out of sight: into the archive, without a copy, or erased for good.

    `standards` are namespaces whose standard the memory may be; their binding goes with it.
    """

    memory_id: str
    caller: Caller
    archive: bool
    purge: bool = False
    standards: Sequence[str] = ()

    @property
    def needs(self) -> Needs:
        keys = tuple(EntityKey("standard", one) for one in self.standards)
        return Needs(memories=(self.memory_id,), keys=keys)

    def decide(self, view: View) -> Decided[Memory]:
        memory = current(view, self.memory_id).memory
        self.caller.require_owner(memory, target_may=True)
        actor, ids = self.caller.agent_id, (memory.id,)
        if self.purge:
            gone = drafts.purge(ids, actor, view.now)
        else:
            gone = drafts.delete(ids, actor, view.now, archived=self.archive, reason=DELETE_REASON)
        unbound = unbound_standards(view, self.standards, ids, actor)
        return Decided(lambda _: memory, (*unbound, gone))


def unbound_standards(
    view: View, namespaces: Sequence[str], ids: Sequence[str], actor: str
) -> list[Draft]:
    """Bindings of namespaces whose standard is one of `ids`, cleared."""
    found: list[Draft] = []
    for namespace in namespaces:
        bound = project_standard(namespace, view.cells(EntityKey("standard", namespace)) or {})
        if bound is not None and bound.standard_id in ids:
            found.append(drafts.standard_clear(namespace, bound.standard_id, actor))
    return found


def current(view: View, memory_id: str) -> Snapshot:
    """The memory, live and not expired.

    Raises:
        NotFoundError: there is none.
    """
    found = view.snapshot(memory_id)
    if found is None or not found.is_current(view.now):
        raise NotFoundError("not found")
    return found


def changed(old: Memory, changes: Changes, now: str) -> Memory:
    """A row after an update: the tier never falls, the owner never changes (http-api 3.2, PUT)."""
    tier = old.tier if changes.tier is None else higher_tier(old.tier, changes.tier)
    # A row that becomes long stops expiring, unless the same update says when.
    expires_at = None if tier == "long" != old.tier else old.expires_at
    if changes.expires_at is not None:
        expires_at = changes.expires_at or None
    return replace(
        old,
        title=_given(changes.title, old.title),
        content=_given(changes.content, old.content),
        namespace=_given(changes.namespace, old.namespace),
        tier=tier,
        tags=old.tags if changes.tags is None else tuple(changes.tags),
        priority=_given(changes.priority, old.priority),
        confidence=_given(changes.confidence, old.confidence),
        expires_at=expires_at,
        metadata=_changed_metadata(old, changes),
        source_uri=_given(changes.source_uri, old.source_uri),
        updated_at=now,
    )


def upserted(old: Memory, new: Memory) -> Memory:
    """A row after a store that merges into it (http-api 3.2, upsert rule)."""
    tier = higher_tier(old.tier, new.tier)
    owner = old.owner or new.owner
    return replace(
        old,
        content=new.content,
        tags=new.tags,
        source=new.source,
        metadata=_owned(new.metadata, owner),
        priority=max(old.priority, new.priority),
        confidence=max(old.confidence, new.confidence),
        reflection_depth=max(old.reflection_depth, new.reflection_depth),
        tier=tier,
        expires_at=None if tier == "long" else new.expires_at or old.expires_at,
        memory_kind=old.memory_kind if old.memory_kind in STICKY_KINDS else new.memory_kind,
        citations=new.citations or old.citations,
        source_uri=_given(new.source_uri, old.source_uri),
        source_span=_given(new.source_span, old.source_span),
        entity_id=_given(new.entity_id, old.entity_id),
        confidence_signals=_given(new.confidence_signals, old.confidence_signals),
        updated_at=new.updated_at,
    )


def higher_tier(left: str, right: str) -> str:
    return max(left, right, key=TIER_RANKS.__getitem__)


def stored_bytes(memory: Memory) -> int:
    """What a row costs its agent: title, content and metadata in UTF-8 (http-api 1.11)."""
    return (
        utf8_length(memory.title)
        + utf8_length(memory.content)
        + len(msgspec.json.encode(memory.metadata))
    )


def _changed_metadata(old: Memory, changes: Changes) -> Mapping[str, Json]:
    if changes.metadata is None:
        return old.metadata
    if changes.merge_metadata:
        return _owned({**old.metadata, **changes.metadata}, old.owner)
    return _owned(changes.metadata, old.owner)


def _owned(metadata: Mapping[str, Json], owner: str | None) -> Mapping[str, Json]:
    rest = {key: value for key, value in metadata.items() if key != "agent_id"}
    return rest if owner is None else {**rest, "agent_id": owner}


def _given(new: T | None, old: T) -> T:
    return old if new is None else new


def _require_version(memory: Memory, expected: int | None) -> None:
    if expected is not None and expected != memory.version:
        raise VersionConflictError(
            f"version conflict: expected {expected}, current is {memory.version}",
            status="conflict",
            id=memory.id,
            expected_version=expected,
            current_version=memory.version,
        )


def near_duplicate(twin: Memory, similarity: float = 1.0) -> ConflictError:
    """The refusal of a text that a memory already holds; `similarity` is 0 to 1."""
    return ConflictError(
        f"near-duplicate of existing memory in namespace '{twin.namespace}'",
        existing_id=twin.id,
        existing_title=twin.title,
        similarity=similarity,
        reason="near_duplicate_with_differing_content",
        hint="pass force=true to insert anyway",
    )


def _standing(view: View, memory_id: str) -> Memory:
    """A row just written; the store that applied it must show it."""
    found = view.snapshot(memory_id)
    assert found is not None
    return found.memory

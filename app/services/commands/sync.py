"""A v0.7.0 push as one write: its lists in v0.7.0's order, all of it or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, cast

from app.domain.errors import QuotaExceededError
from app.domain.timestamps import format_instant, parse_instant
from app.log import drafts
from app.log.entry import Draft
from app.log.hlc import HLC_MAX, Stamp
from app.log.kinds.links import link_key
from app.log.names import Name
from app.log.projection import life_of, project_standard, snapshot
from app.log.registers import Written
from app.log.state import ARCHIVED, LIVE, EntityKey
from app.log.workspace import Workspace
from app.replication.v070 import incoming
from app.replication.v070.incoming import IncomingRow
from app.replication.v070.times import instant_of, is_ahead
from app.replication.v070.wire import ItemResult
from app.services.commands.archive import restored_expiry
from app.services.commands.memories import stored_bytes
from app.store.protocol import Charge, Decided, Needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.log.registers import Cells
    from app.replication.attestation import PeerScope
    from app.replication.v070.incoming import Change
    from app.replication.v070.wire import DecisionRow, PendingRow, StandardRow
    from app.services.new_memory import TierLives
    from app.store.protocol import LocalRow, QuotaLimits, View

REASON: Final = "sync_push"
_STEPS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item that is none, and why."""

    id: str
    code: str


@dataclass(frozen=True, slots=True)
class Push:
    """A push, its items checked one by one. Times are canonical text."""

    peer: str
    """Whose writes they are."""
    memories: Sequence[IncomingRow | Unreadable] = ()
    deletions: Sequence[str] = ()
    archives: Sequence[str] = ()
    restores: Sequence[str] = ()
    links: Sequence[MemoryLink | Unreadable] = ()
    pendings: Sequence[PendingRow | Unreadable] = ()
    decisions: Sequence[DecisionRow | Unreadable] = ()
    standards: Sequence[StandardRow | Unreadable] = ()
    cleared: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class QuotaBreach:
    """The quota that ended a push; what stands before `index` in the memories is kept."""

    details: Mapping[str, object]
    index: int
    reset_at: str


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a push: every item by itself, in the order of the lists."""

    results: Sequence[ItemResult]
    breach: QuotaBreach | None = None
    latest: str | None = None
    """The last update among the memories that are here now, the sender's text."""

    def count(self, name: str, *statuses: str) -> int:
        """Items of a list that ended so."""
        return sum(one.list == name and one.status in statuses for one in self.results)


@dataclass(frozen=True, slots=True)
class ReceivePush:
    """Take a push in. `limits` None charges nobody; `dry_run` only looks.

    `scope` are the namespaces that the peer may write, None for all of them. `led` are namespaces
    whose standards are among the deletions. `rows` are local ones that must be kept with the push:
    a nonce that it used up, a cursor that it moves.
    """

    push: Push
    lives: TierLives
    limits: QuotaLimits | None = None
    led: Sequence[str] = ()
    rows: Sequence[LocalRow] = ()
    scope: PeerScope | None = None
    dry_run: bool = False

    @property
    def needs(self) -> Needs:
        push = self.push
        memories = [one.memory for one in push.memories if isinstance(one, IncomingRow)]
        ids = (one.id for one in memories)
        keys = [
            link_key(one.source_id, one.target_id, one.relation)
            for one in push.links
            if not isinstance(one, Unreadable)
        ]
        keys += [
            EntityKey("pending", one.id)
            for one in (*push.pendings, *push.decisions)
            if not isinstance(one, Unreadable)
        ]
        bound = (one.namespace for one in push.standards if not isinstance(one, Unreadable))
        keys += [EntityKey("standard", one) for one in (*bound, *push.cleared, *self.led)]
        return Needs(
            memories=tuple(dict.fromkeys((*ids, *push.deletions, *push.archives, *push.restores))),
            names=tuple(Name(one.namespace, one.title) for one in memories),
            keys=tuple(keys),
            quotas=tuple((_author(one, push.peer), one.namespace) for one in memories)
            if self.limits
            else (),
        )

    def decide(self, view: View) -> Decided[Received]:
        run = _Run(self, view)
        run.take_memories()
        if run.breach is None:
            run.take_the_rest()
        received = Received(run.results, run.breach, run.latest)
        return Decided(lambda _: received, () if self.dry_run else run.drafts, self.rows)


@dataclass(slots=True)
class _Seen:
    """The view's states, for a workspace of our own."""

    view: View

    def load_states(self, keys: Iterable[EntityKey]) -> Mapping[EntityKey, Cells]:
        found = ((key, self.view.cells(key)) for key in keys)
        return {key: cells for key, cells in found if cells is not None}

    def load_claims(self, names: Iterable[Name]) -> Mapping[Name, Mapping[str, Stamp]]:
        del names  # who holds a name is decided where the entries are applied
        return {}


@dataclass(slots=True)
class _Run:
    """A push being decided. Items see what the ones before them did."""

    command: ReceivePush
    view: View
    drafts: list[Draft] = field(default_factory=list)
    results: list[ItemResult] = field(default_factory=list)
    breach: QuotaBreach | None = None
    latest: str | None = None
    _work: Workspace = field(init=False)

    def __post_init__(self) -> None:
        self._work = Workspace(_Seen(self.view))

    def take_memories(self) -> None:
        for index, item in enumerate(self.command.push.memories):
            if isinstance(item, Unreadable):
                self._skip("memories", index, item.id, item.code)
                continue
            memory = item.memory
            if is_ahead(memory.updated_at, self.view.now):
                self._skip("memories", index, memory.id, "future_stamp")
                continue
            homes = dict.fromkeys((memory.namespace, self._home(memory.id) or memory.namespace))
            if self._is_outside("memories", index, memory.id, *homes):
                continue
            cells = self._work.cells(EntityKey("memory", memory.id))
            change = incoming.change_of_row(item, self.command.push.peer, cells)
            if change.status == "new" and not self._charge(index, item):
                return
            self._take("memories", index, memory.id, change, (memory.id,))
            if self.latest is None or instant_of(memory.updated_at) > instant_of(self.latest):
                self.latest = memory.updated_at

    def take_the_rest(self) -> None:
        push = self.command.push
        self._lives("deletions", push.deletions)
        self._lives("archives", push.archives)
        for index, memory_id in enumerate(push.restores):
            self._restore(index, memory_id)
        for index, link in enumerate(push.links):
            if isinstance(link, Unreadable):
                self._skip("links", index, link.id, link.code)
            else:
                self._link(index, link)
        for index, pending in enumerate(push.pendings):
            self._pending(index, pending)
        for index, decision in enumerate(push.decisions):
            self._decision(index, decision)
        for index, standard in enumerate(push.standards):
            self._standard(index, standard)
        for index, namespace in enumerate(push.cleared):
            self._clear(index, namespace)

    # -- one item of each list -------------------------------------------------------------

    def _lives(self, name: Literal["deletions", "archives"], ids: Sequence[str]) -> None:
        """One entry for the whole list.

        An id that nobody has heard of is remembered, too: its row may still be on its way.
        """
        gone: dict[str, None] = {}
        for index, memory_id in enumerate(ids):
            word = life_of(self._cells("memory", memory_id) or {})
            ends = {None, LIVE, ARCHIVED} if name == "deletions" else {None, LIVE}
            if self._is_outside(name, index, memory_id, self._home(memory_id)):
                continue
            if word not in ends or memory_id in gone:
                self._note(name, index, memory_id, "noop")
                continue
            gone[memory_id] = None
            is_known = word is not None
            code = None if is_known else "unknown"
            self._note(name, index, memory_id, "updated" if is_known else "noop", code)
        if not gone:
            return
        found = tuple(gone)
        peer, now = self.command.push.peer, self.view.now
        if name == "archives":
            self._append(drafts.archive(found, peer, now, REASON))
            return
        for namespace in self.command.led:
            cells = self._cells("standard", namespace)
            bound = None if cells is None else project_standard(namespace, cells)
            if bound is not None and bound.standard_id in gone:
                self._append(drafts.standard_clear(namespace, bound.standard_id, peer))
        self._append(drafts.delete(found, peer, now, archived=False, reason=REASON))

    def _restore(self, index: int, memory_id: str) -> None:
        cells = self._cells("memory", memory_id)
        found = None if cells is None else snapshot(memory_id, cells)
        if found is None or found.life not in {LIVE, ARCHIVED}:
            self._skip("restores", index, memory_id, "not_found")
            return
        if self._is_outside("restores", index, memory_id, found.memory.namespace):
            return
        now = self.view.now
        if found.is_current(now):
            self._note("restores", index, memory_id, "noop")
            return
        expires_at = restored_expiry(found.memory, self.command.lives, now)
        peer = self.command.push.peer
        self._append(drafts.restore(found, expires_at, peer, now, self.view.origin))
        self._note("restores", index, memory_id, "updated")

    def _link(self, index: int, link: MemoryLink) -> None:
        key = link_key(link.source_id, link.target_id, link.relation)
        shown = f"{link.source_id}→{link.target_id}"
        if is_ahead(link.created_at, self.view.now):
            self._skip("links", index, shown, "future_stamp")
            return
        ends = (self._home(link.source_id), self._home(link.target_id))
        if self._is_outside("links", index, shown, *ends):
            return
        change = incoming.change_of_link(link, self.command.push.peer, self._work.cells(key))
        self._take("links", index, shown, change, (link.source_id, link.target_id))

    def _pending(self, index: int, pending: PendingRow | Unreadable) -> None:
        if isinstance(pending, Unreadable):
            self._skip("pendings", index, pending.id, pending.code)
            return
        times = [pending.requested_at, pending.decided_at or pending.requested_at]
        times += [one.approved_at for one in pending.approvals]
        if any(is_ahead(one, self.view.now) for one in times):
            self._skip("pendings", index, pending.id, "future_stamp")
            return
        if self._is_outside("pendings", index, pending.id, pending.namespace):
            return
        cells = self._cells("pending", pending.id)
        change = incoming.change_of_pending(pending, self.command.push.peer, cells)
        self._take("pendings", index, pending.id, change, ())

    def _decision(self, index: int, decision: DecisionRow | Unreadable) -> None:
        name = "pending_decisions"
        if isinstance(decision, Unreadable):
            self._skip(name, index, decision.id, decision.code)
            return
        cells = self._cells("pending", decision.id)
        home = None if cells is None else incoming.namespace_of_request(cells)
        if self._is_outside(name, index, decision.id, home):
            return
        if incoming.is_decided(cells, approve=decision.approved):
            self._note(name, index, decision.id, "noop")
            return
        self._append(
            incoming.decision_draft(
                decision.id, decision.decider, self.view.now, approve=decision.approved
            )
        )
        self._note(name, index, decision.id, "updated")

    def _standard(self, index: int, standard: StandardRow | Unreadable) -> None:
        if isinstance(standard, Unreadable):
            self._skip("namespace_meta", index, standard.id, standard.code)
            return
        namespace = standard.namespace
        if is_ahead(standard.updated_at, self.view.now):
            self._skip("namespace_meta", index, namespace, "future_stamp")
            return
        if self._is_outside("namespace_meta", index, namespace, namespace):
            return
        cells = self._cells("standard", namespace)
        change = incoming.change_of_standard(standard, self.command.push.peer, cells)
        self._take("namespace_meta", index, namespace, change, (standard.standard_id,))

    def _clear(self, index: int, namespace: str) -> None:
        if self._is_outside("namespace_meta_clears", index, namespace, namespace):
            return
        cells = self._cells("standard", namespace)
        bound = None if cells is None else project_standard(namespace, cells)
        peer = self.command.push.peer
        if bound is not None:
            self._append(drafts.standard_clear(namespace, bound.standard_id, peer))
        elif cells is None:  # its binding may still be on its way
            self._append(Draft("standard_clear", peer, (), {"namespace": namespace}))
        status: Literal["updated", "noop"] = "noop" if bound is None else "updated"
        self._note("namespace_meta_clears", index, namespace, status)

    # -- what they share -------------------------------------------------------------------

    def _cells(self, kind: str, key: str) -> Cells | None:
        return self._work.cells(EntityKey(kind, key))

    def _home(self, memory_id: str) -> str | None:
        """The namespace of a memory; None of one that is not known."""
        name = (self._cells("memory", memory_id) or {}).get("name")
        return cast("list[str]", name.value)[0] if isinstance(name, Written) else None

    def _is_outside(self, name: str, index: int, shown: str, *homes: str | None) -> bool:
        """Skip what speaks of a namespace that the peer may not write, or of an unknown one."""
        scope = self.command.scope
        if scope is None or all(home is not None and scope.covers(home) for home in homes):
            return False
        self._skip(name, index, shown, "namespace_not_allowed")
        return True

    def _take(
        self, name: str, index: int, shown: str, change: Change, entity_ids: tuple[str, ...]
    ) -> None:
        if change.writes:
            self._append(change.draft(self.command.push.peer, entity_ids))
        self._note(name, index, shown, change.status, change.code)

    def _append(self, draft: Draft) -> None:
        # Later than anything that is stored, and in order: as the entries will be.
        stamp = Stamp(HLC_MAX - _STEPS_MAX + len(self.drafts), self.view.origin)
        self._work.apply(draft.kind, draft.payload, stamp)
        self.drafts.append(draft)

    def _skip(self, name: str, index: int, shown: str, code: str) -> None:
        self.results.append(ItemResult(name, index, shown, "skipped", code))

    def _note(
        self,
        name: str,
        index: int,
        shown: str,
        status: Literal["new", "updated", "noop"],
        code: str | None = None,
    ) -> None:
        self.results.append(ItemResult(name, index, shown, status, code))

    def _charge(self, index: int, row: IncomingRow) -> bool:
        command, memory = self.command, row.memory
        if command.limits is None or command.dry_run:
            return True
        author = _author(memory, command.push.peer)
        cost = Charge(author, memory.namespace, 1, storage_bytes=stored_bytes(memory))
        try:
            self.view.charge(cost, command.limits)
        except QuotaExceededError as error:
            midnight = parse_instant(self.view.now).replace(
                hour=0, minute=0, second=0, microsecond=0
            )
            reset_at = format_instant(midnight + timedelta(days=1))
            self.breach = QuotaBreach(error.details, index, reset_at)
            return False
        return True


def _author(memory: Memory, peer: str) -> str:
    return memory.owner or peer

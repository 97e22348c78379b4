"""Which writes have their copies, and which can no longer get them. Pure.

A peer's ack is cumulative ("durable here up to this number"), so one ack settles many writes:
those who wait for k copies go as far as the k-th highest mark. They stand in a heap by number, one
heap for each origin and k, and an ack costs what it settles and a sort of the few marks. Only
writes that some peer refused are looked at one by one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

REFUSALS_KEPT: Final = 10_000
"""Refused numbers that are remembered for each peer and origin, the newest ones."""


class Reach(StrEnum):
    """Whether a peer can be counted on to answer."""

    TRYING = "trying"
    UP = "up"
    DOWN = "down"
    REFUSING = "refusing"
    """It answers, and will refuse again until somebody changes something."""

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be hoped of it for now."""
        return self in {Reach.DOWN, Reach.REFUSING}


@dataclass(slots=True)
class Holder:
    """A peer as a place for copies."""

    name: str
    store: str | None = None
    """Its store's id once it said so: two peers on one store hold one copy."""
    reach: Reach = Reach.TRYING
    marks: dict[str, int] = field(default_factory=dict)
    refused: dict[str, set[int]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """What counts as one copy; peers that never said hello count as different places."""
        return self.store or self.name

    def refuses(self, wait: Wait) -> bool:
        """Whether some entry of the write is kept apart there, or was never sent in full."""
        refused = self.refused.get(wait.origin)
        return refused is not None and any(seq in refused for seq in wait.seqs)

    def holds(self, wait: Wait) -> bool:
        """Whether every entry of the write is durable there."""
        return self.marks.get(wait.origin, 0) >= wait.last and not self.refuses(wait)


@dataclass(slots=True, eq=False)
class Wait:
    """A write that waits for `needed` copies, the local one included."""

    origin: str
    seqs: Collection[int]
    needed: int
    last: int = field(init=False)
    verdict: Verdict | None = None
    """None while it is open."""

    def __post_init__(self) -> None:
        self.last = max(self.seqs)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a wait ended, or stands. `reason` is None when it is met."""

    got: int
    reason: str | None


_Level = tuple[str, int]


class Quorum:
    """Every peer's marks, and every write that waits for them.

    Methods that may settle waits return those, each with its `verdict`.
    """

    def __init__(self, own_store: str) -> None:
        self._own_store = own_store
        self._holders: dict[str, Holder] = {}
        self._levels: dict[_Level, list[tuple[int, int, Wait]]] = {}
        self._odd: list[Wait] = []
        self._order = 0
        self._doubted: set[str] = set()
        """Origins of which some peer refused something: a mark says less there."""
        self._marks: dict[str, list[int]] = {}
        """Origin → the marks of distinct stores, ascending; forgotten when one moves."""
        self._hope: int | None = None
        """How many copies a write can have at most, refusals aside."""

    @property
    def holders(self) -> Collection[Holder]:
        """The peers, in the order in which they joined."""
        return self._holders.values()

    def open_waits(self) -> Iterator[Wait]:
        """Every write that still waits."""
        for heap in self._levels.values():
            yield from (wait for _, _, wait in heap if wait.verdict is None)
        yield from (wait for wait in self._odd if wait.verdict is None)

    def join(self, name: str) -> None:
        """A peer, of whom nothing is known yet."""
        self._holders[name] = Holder(name)
        self._forget()

    def leave(self, name: str) -> list[Wait]:
        """A peer is no longer one."""
        del self._holders[name]
        self._forget()
        return self._look_at_all()

    def found(self, name: str, store: str) -> list[Wait]:
        """A peer said which store it writes to."""
        holder = self._holders[name]
        if holder.store == store:
            return []
        holder.store = store
        self._forget()
        return self._look_at_all()

    def reached(self, name: str, reach: Reach) -> list[Wait]:
        """A peer came up or went down."""
        holder = self._holders[name]
        if holder.reach is reach:
            return []
        holder.reach = reach
        self._hope = None
        return self._look_at_all() if reach.is_lost else []

    def acked(self, name: str, marks: Iterable[tuple[str, int]]) -> list[Wait]:
        """What is durable at a peer, whatever it said before: (origin, number) pairs."""
        holder = self._holders[name]
        moved = []
        has_lost = False
        for origin, mark in marks:
            if holder.marks.get(origin, 0) != mark:
                has_lost = has_lost or mark < holder.marks.get(origin, 0)
                holder.marks[origin] = mark
                self._marks.pop(origin, None)
                moved.append(origin)
        settled = [wait for origin in moved for wait in self._settle(origin)]
        if has_lost and holder.reach.is_lost:
            settled += self._look_at_all()  # what counted it as a copy has one hope less
        elif self._odd and moved:
            settled += self._look_at_odd()
        return settled

    def refused(self, name: str, origin: str, seqs: Collection[int]) -> list[Wait]:
        """A peer keeps entries apart, or was sent them without what they say."""
        if not seqs:
            return []
        self._doubted.add(origin)
        known = self._holders[name].refused.setdefault(origin, set())
        known.update(seqs)
        if len(known) > REFUSALS_KEPT:
            known.difference_update(sorted(known)[: len(known) - REFUSALS_KEPT])
        return self._look_at_all()

    def add(self, wait: Wait) -> Verdict | None:
        """Wait for copies; the verdict if it is there already."""
        wait.verdict = self._judge_fast(wait)
        if wait.verdict is not None:
            return wait.verdict
        self._order += 1
        heap = self._levels.setdefault((wait.origin, wait.needed), [])
        heappush(heap, (wait.last, self._order, wait))
        return None

    def give_up(self, wait: Wait, reason: str) -> Verdict:
        """End a wait from outside; it leaves the heap when its turn comes."""
        wait.verdict = Verdict(self.copies(wait), reason)
        return wait.verdict

    def copies(self, wait: Wait) -> int:
        """Distinct stores that hold the write, this node's included."""
        return 1 + len({one.place for one in self._others() if one.holds(wait)})

    def judge(self, wait: Wait) -> Verdict | None:
        """The definition of a quorum; None while it can still be met."""
        holding, open_to_it, refusing = set(), set(), set()
        for one in self._others():
            if one.holds(wait):
                holding.add(one.place)
            elif one.refuses(wait) or one.reach is Reach.REFUSING:
                refusing.add(one.place)
            elif not one.reach.is_lost:
                open_to_it.add(one.place)
        got = 1 + len(holding)
        if got >= wait.needed:
            return Verdict(got, None)
        possible = got + len(open_to_it - holding)
        if possible >= wait.needed:
            return None
        lost = len(refusing - holding - open_to_it)
        return Verdict(got, "refused" if possible + lost >= wait.needed else "unreachable")

    def _others(self) -> Iterator[Holder]:
        return (one for one in self._holders.values() if one.store != self._own_store)

    def _forget(self) -> None:
        self._marks.clear()
        self._hope = None

    def _judge_fast(self, wait: Wait) -> Verdict | None:
        """The same as `judge`, from what is kept for the common case."""
        if wait.origin not in self._doubted:
            marks = self._marks_of(wait.origin)
            got = 1 + len(marks) - bisect_left(marks, wait.last)
            if got >= wait.needed:
                return Verdict(got, None)
            if self._hope is None:
                hopeful = {one.place for one in self._others() if not one.reach.is_lost}
                self._hope = 1 + len(hopeful)
            if self._hope >= wait.needed:
                return None
        return self.judge(wait)

    def _settle(self, origin: str) -> Iterator[Wait]:
        marks = self._marks_of(origin)
        for (of, needed), heap in list(self._levels.items()):
            if of != origin:
                continue
            # Those who need k peers go as far as the k-th highest mark.
            mark = marks[1 - needed] if needed - 1 <= len(marks) else 0
            while heap and heap[0][0] <= mark:
                _, _, wait = heappop(heap)
                if wait.verdict is not None:
                    continue
                wait.verdict = self._judge_fast(wait)
                if wait.verdict is None:
                    self._odd.append(wait)
                else:
                    yield wait
            if not heap:
                del self._levels[of, needed]

    def _marks_of(self, origin: str) -> list[int]:
        """How far distinct stores have come with an origin, refusals aside, ascending."""
        found = self._marks.get(origin)
        if found is None:
            best: dict[str, int] = {}
            for one in self._others():
                best[one.place] = max(best.get(one.place, 0), one.marks.get(origin, 0))
            found = self._marks[origin] = sorted(best.values())
        return found

    def _look_at_odd(self) -> list[Wait]:
        settled = []
        for wait in self._odd:
            if wait.verdict is None:
                wait.verdict = self.judge(wait)
                if wait.verdict is not None:
                    settled.append(wait)
        self._odd = [wait for wait in self._odd if wait.verdict is None]
        return settled

    def _look_at_all(self) -> list[Wait]:
        settled = self._look_at_odd()
        for level, heap in list(self._levels.items()):
            for _, _, wait in heap:
                if wait.verdict is None:
                    wait.verdict = self.judge(wait)
                    if wait.verdict is not None:
                        settled.append(wait)
            while heap and heap[0][2].verdict is not None:
                heappop(heap)
            if not heap:
                del self._levels[level]
        return settled

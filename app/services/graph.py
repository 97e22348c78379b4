"""The knowledge graph: walks along links, a memory's dated facts, paths, ends of validity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from app.domain import validation as must
from app.domain.errors import NotFoundError, UnprocessableError
from app.domain.timestamps import format_instant
from app.services.commands.links import Ends, InvalidateLink, not_source_owner
from app.services.links import check_ends, check_relation
from app.services.paths import PathSearch
from app.store.sql.filters import MemoryFilter
from app.store.sql.links import LinkFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.services.commands.links import Invalidated
    from app.store.protocol import Store
    from app.store.sql.links import GraphBackend, LinkedMemory

WALK_DEPTH_MAX: Final = 5
WALK_ROWS_MAX: Final = 1_000
PATH_LENGTH_MAX: Final = 7
PATHS_MAX: Final = 50

_PAGE: Final = 1_000
_PATHS_FOLLOWED_MAX: Final = 10_000
"""Ways through the graph that a walk to one memory keeps a level."""


@dataclass(frozen=True, slots=True)
class Walk:
    """An outbound walk, not checked yet; None and False are no condition.

    `observers` (empty: nothing) and `relations` hold for every link on the way, `target_id` for
    the last one. `valid_at` wants links open at that time instead of those not ended by now.
    """

    source_id: str
    depth_max: int = 1
    limit: int = 200
    valid_at: str | None = None
    observers: Sequence[str] | None = None
    relations: Sequence[str] | None = None
    target_id: str | None = None
    include_invalidated: bool = False


@dataclass(frozen=True, slots=True)
class Reached:
    """The end of a way: its last link, how many links it has, and the ids along it."""

    linked: LinkedMemory
    path: tuple[str, ...]

    @property
    def depth(self) -> int:
        return len(self.path) - 1


@dataclass(frozen=True, slots=True)
class Walked:
    """Where a walk led. `backend` is what answered, None where a store has one way only."""

    reached: Sequence[Reached]
    backend: GraphBackend | None


@dataclass(frozen=True, slots=True)
class FoundPaths:
    """Ids along each path; `backend` as in `Walked`."""

    paths: Sequence[Sequence[str]]
    backend: GraphBackend | None


class _Links(Protocol):
    """Where a walk reads a level: `LinkReads.outbound`."""

    async def outbound(
        self,
        sources: Sequence[str],
        links: LinkFilter,
        chosen: MemoryFilter,
        limit: int,
        offset: int = 0,
    ) -> Sequence[LinkedMemory]: ...


@dataclass(frozen=True, slots=True)
class _ReadLinks:
    """Links that were read together, oldest first, for one filter."""

    rows: Sequence[LinkedMemory]

    async def outbound(
        self,
        sources: Sequence[str],
        links: LinkFilter,
        chosen: MemoryFilter,
        limit: int,
        offset: int = 0,
    ) -> Sequence[LinkedMemory]:
        del links, chosen  # applied when the rows were read
        near = frozenset(sources)
        fitting = (one for one in self.rows if one.link.source_id in near)
        return list(islice(fitting, offset, offset + limit))


class GraphService:
    """The use cases of the graph. Nothing leads through a memory that the caller may not see."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    async def walk(self, asked: Walk, caller: Caller) -> Walked:
        """Where outbound links lead, nearest first, then by the beginning of validity.

        Level by level instead of one recursive statement: a level is cut at what the answer still
        needs, so dense graphs cost no more than the rows that are shown.

        Raises:
            InvalidInputError: a malformed id, time or relation.
            UnprocessableError: a depth outside 1 to 5.
        """
        must.memory_id(asked.source_id, "source_id")
        if not 1 <= asked.depth_max <= WALK_DEPTH_MAX:
            raise _bad_depth("", WALK_DEPTH_MAX, asked.depth_max)
        chosen = self._visible(caller)
        links = self._links_of(asked, chosen.now)
        backend = self.store.graph_backend
        if await self.store.get(asked.source_id, chosen) is None:
            return Walked((), backend)
        near = await self.store.links_within(asked.source_id, asked.depth_max, links, chosen)
        if near is None:
            reached = await self._walk(asked, self.store, links, chosen)
            return Walked(reached, None if backend is None else "cte")
        return Walked(await self._walk(asked, _ReadLinks(near), links, chosen), backend)

    async def _walk(
        self, asked: Walk, source: _Links, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[Reached]:
        found: list[Reached] = []
        ways: Mapping[str, Sequence[tuple[str, ...]]] = {asked.source_id: [(asked.source_id,)]}
        limit = clamped(asked.limit, WALK_ROWS_MAX)
        for _ in range(asked.depth_max):
            room = limit - len(found) if asked.target_id is None else _PATHS_FOLLOWED_MAX
            level = await self._level(source, ways, links, chosen, room)
            found.extend(
                one for one in level if asked.target_id in {None, one.linked.link.target_id}
            )
            ways = _onward(level)
            if len(found) >= limit or not ways:
                break
        return found[:limit]

    async def _level(
        self,
        source: _Links,
        ways: Mapping[str, Sequence[tuple[str, ...]]],
        links: LinkFilter,
        chosen: MemoryFilter,
        room: int,
    ) -> Sequence[Reached]:
        level: list[Reached] = []
        rows = min(_PAGE, 2 * room + 50)  # some links lead back, so a little more than shows
        for offset in range(0, _PAGE * _PAGE, rows):
            page = await source.outbound(list(ways), links, chosen, rows, offset)
            level.extend(
                Reached(linked, (*path, linked.link.target_id))
                for linked in page
                for path in ways[linked.link.source_id]
                if linked.link.target_id not in path
            )
            if len(page) < rows or len(level) >= room:
                break
        return level[:room]

    def _links_of(self, asked: Walk, now: str) -> LinkFilter:
        relations = None if asked.relations is None else list(map(check_relation, asked.relations))
        return LinkFilter(
            relations=relations,
            observers=asked.observers,
            open_at=None if asked.valid_at is None else must.instant(asked.valid_at, "valid_at"),
            not_ended_by=None if asked.include_invalidated else now,
        )

    async def timeline(
        self, source_id: str, span: LinkFilter, limit: int, caller: Caller
    ) -> Sequence[LinkedMemory]:
        """A memory's outbound links by the beginning of their validity, ended ones included.

        Raises:
            InvalidInputError: a malformed id or time.
            NotFoundError: no such memory, or not the caller's to see.
            NotOwnerError: another agent's, and not addressed to the caller.
        """
        must.memory_id(source_id, "source_id")
        chosen = self._visible(caller)
        checked = replace(
            span,
            since=None if span.since is None else must.instant(span.since, "since"),
            until=None if span.until is None else must.instant(span.until, "until"),
        )
        source = await self.store.get(source_id, chosen)
        if source is None:
            raise NotFoundError("source memory not found", found=False, source_id=source_id)
        if not (caller.owns(source) or source.inbox_target == caller.agent_id):
            raise not_source_owner(source, caller)
        rows = clamped(limit, WALK_ROWS_MAX)
        return await self.store.outbound((source_id,), checked, chosen, rows)

    async def invalidate(
        self, ends: Ends, relation: str, valid_until: str | None, caller: Caller
    ) -> Invalidated:
        """End a link's validity now or at a given time; its signature goes with that.

        Raises:
            InvalidInputError: a malformed id or time, an unknown relation.
            NotFoundError: no such source or link, with `found` false.
            NotOwnerError: the source is another agent's.
        """
        check_ends(ends)
        check_relation(relation)
        until = None if valid_until is None else must.instant(valid_until, "valid_until")
        return (await self.store.submit(InvalidateLink(ends, relation, until, caller))).result

    async def find_paths(
        self, ends: Ends, depth_max: int, results_max: int, caller: Caller
    ) -> FoundPaths:
        """Simple paths along links in either direction, shortest first, then by their ids.

        Raises:
            InvalidInputError: a malformed id.
            UnprocessableError: a depth outside 1 to 7.
        """
        check_ends(ends)
        if not 1 <= depth_max <= PATH_LENGTH_MAX:
            raise _bad_depth("underlying backend error: ", PATH_LENGTH_MAX, depth_max)
        chosen = self._visible(caller)
        wanted = {ends.source_id, ends.target_id}
        backend = self.store.graph_backend
        if len(await self.store.get_many(list(wanted), chosen)) < len(wanted):
            return FoundPaths((), backend)
        links = LinkFilter(not_ended_by=chosen.now)
        paths_max = clamped(results_max, PATHS_MAX)
        if len(wanted) > 1:
            found = await self.store.paths_between(
                ends.source_id, ends.target_id, depth_max, links, chosen
            )
            if found is not None:
                return FoundPaths(found[:paths_max], backend)
        search = PathSearch(ends.source_id, ends.target_id, depth_max, paths_max)
        while not search.is_done:
            ball = search.next_ball()
            search.learn(ball, await self.store.neighbours(ball.frontier, links, chosen))
        return FoundPaths(search.paths, None if backend is None else "cte")

    def _visible(self, caller: Caller) -> MemoryFilter:
        return MemoryFilter(now=format_instant(self.clock.now()), viewer=caller.viewer())


def clamped(asked: int, most: int) -> int:
    """A limit within 1 and `most` (http-api 1.8: over-large limits clamp)."""
    return max(1, min(asked, most))


def _onward(level: Iterable[Reached]) -> Mapping[str, Sequence[tuple[str, ...]]]:
    """The ways to go on from, by where they stand; links of several relations make one way."""
    ways: dict[str, list[tuple[str, ...]]] = {}
    for path in dict.fromkeys(one.path for one in level):
        ways.setdefault(path[-1], []).append(path)
    return ways


def _bad_depth(prefix: str, most: int, got: int) -> UnprocessableError:
    return UnprocessableError(
        f"{prefix}max_depth must be between 1 and {most} (got {got})", fields=["max_depth"]
    )

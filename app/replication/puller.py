"""Fetching what others have and this node lacks, page after page until there is no more.

In a healthy full mesh every node brings its own entries, and nobody pulls. So an origin is pulled
only when its entries do not arrive: its node never calls us or fell silent, or nothing of it came
for a while. Each lacking origin is asked of one peer at a time, and all peers are asked at once.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import AiMemoryError
from app.replication.here import node_of
from app.replication.messages import Method, Page, Pull
from app.replication.ports import PeerCallError
from app.replication.quorum import Reach
from app.replication.waiting import Bell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.replication.gossip import Gossip
    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.options import MeshOptions
    from app.replication.receiver import Receiver
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

PAGE_BYTES: Final = 1024 * 1024
GRACE_SECONDS: Final = 1.0
"""How long entries that their own node should bring may take before they are fetched."""
_LIVE_SIGNS: Final = 1.5
"""A node lives that called within so many of its signs of life."""
_PENALTY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Lack:
    """An origin that somebody has more of than we."""

    target: int
    have: int
    since: float
    """Since when nothing of it came. The event loop's time, as all of these."""
    noticed: float
    not_before: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class Pulled:
    """Counts since the start."""

    pages: int = 0
    entries: int = 0
    failures: int = 0


class Puller:
    """Catches up."""

    def __init__(
        self,
        options: MeshOptions,
        store: Store,
        here: Here,
        receiver: Receiver,
        gossip: Gossip,
        lanes: Mapping[str, Lane],
    ) -> None:
        """`lanes` is looked at anew each time, by address."""
        self._options = options
        self._store = store
        self._here = here
        self._receiver = receiver
        self._gossip = gossip
        self._lanes = lanes
        self._bell = Bell()
        self._sessions: dict[str, tuple[asyncio.Task[None], frozenset[str]]] = {}
        self.counts = Pulled()
        self.lacks: dict[str, Lack] = {}
        self._silent: dict[str, float] = {}
        """Node id → since when it is known not to bring its entries."""
        self.truncated: dict[tuple[str, str], int] = {}
        """(address, origin) → the floor below which that peer no longer has what we lack."""
        self.stranded = Bell()
        """Rung when a peer no longer has what we lack; see `beyond`."""

    def look(self) -> None:
        """A peer's clock may hold news, or what was lacking has come by another way."""
        here = self._here
        if any(here.lacks(lane.peer.clock) for lane in self._lanes.values()) or any(
            here[origin] >= lack.target for origin, lack in self.lacks.items()
        ):
            self._bell.ring()

    @property
    def is_even(self) -> bool:
        """Whether nothing lacks here that any peer is known to have."""
        return all(self._here[origin] >= lack.target for origin, lack in self.lacks.items())

    def beyond(self) -> Iterator[tuple[str, int]]:
        """Origins that lack here and that no reachable peer still has from there on."""
        for origin in self.lacks:
            floors = [
                self.truncated.get((url, origin), 0)
                for url, lane in self._lanes.items()
                if self._is_of_use(lane) and lane.peer.clock.get(origin, 0) > self._here[origin]
            ]
            if floors and min(floors) > self._here[origin]:
                yield origin, min(floors)

    async def run(self) -> None:
        """Keep catching up, for ever; sessions end with it."""
        if not self._options.catchup_seconds:
            return
        try:
            while True:
                pause = self._assign()
                await self._bell.wait(min(pause, self._options.catchup_seconds))
        finally:
            for task, _ in self._sessions.values():
                task.cancel()
            await asyncio.gather(
                *(task for task, _ in self._sessions.values()), return_exceptions=True
            )

    def _assign(self) -> float:
        """Start what is due; seconds until something else is."""
        now = asyncio.get_running_loop().time()
        self._note(now)
        in_hand = {one for _, origins in self._sessions.values() for one in origins}
        wanted: dict[str, list[str]] = {}
        pause = self._options.catchup_seconds
        for origin, lack in self.lacks.items():
            if origin in in_hand:
                continue
            due = max(self._due(origin, lack), lack.not_before)
            if due > now:
                pause = min(pause, due - now)
                continue
            lane = self._choose(origin, wanted)
            if lane is not None:
                self._silent[node_of(origin) or ""] = now
                wanted.setdefault(lane.url, []).append(origin)
        for url, origins in wanted.items():
            task = asyncio.create_task(self._session(self._lanes[url], origins))
            self._sessions[url] = (task, frozenset(origins))
        return pause

    def _note(self, now: float) -> None:
        """Bring the list of what is lacking up to date."""
        targets: dict[str, int] = {}
        for lane in self._lanes.values():
            if self._is_of_use(lane):
                for origin, seq in lane.peer.clock.items():
                    if seq > self._here[origin] and origin != self._here.origin:
                        targets[origin] = max(seq, targets.get(origin, 0))
        for origin in [one for one in self.lacks if one not in targets]:
            del self.lacks[origin]
        for origin, target in targets.items():
            have = self._here[origin]
            lack = self.lacks.get(origin)
            if lack is None:
                self.lacks[origin] = Lack(target, have, since=now, noticed=now)
                continue
            lack.target = target
            if have > lack.have:
                lack.have, lack.since, lack.failures = have, now, 0

    def _is_of_use(self, lane: Lane) -> bool:
        return lane.reach is Reach.UP and lane.peer.store_id != self._store.store_id

    def _due(self, origin: str, lack: Lack) -> float:
        """When to fetch: at once, unless the origin's own node is alive and may yet bring it."""
        author = node_of(origin)
        if author is None or not self._is_bringing(author, lack.since):
            return lack.since
        return lack.since + GRACE_SECONDS

    def _is_bringing(self, author: str, since: float) -> bool:
        """Whether a node may be expected to bring its entries by itself.

        One that we reach knows of us since our hello, and whom we have not reached yet may be it.
        One whose entries did not come is not waited for again before it calls.
        """
        silent_since = self._silent.get(author)
        if silent_since is not None and not self._gossip.called_since(author, silent_since):
            return False
        return self._gossip.called_since(
            author, since - self._options.life_seconds * _LIVE_SIGNS
        ) or any(
            lane.reach is Reach.TRYING or (lane.reach is Reach.UP and lane.peer.node_id == author)
            for lane in self._lanes.values()
        )

    def _choose(self, origin: str, wanted: Mapping[str, Sequence[str]]) -> Lane | None:
        """Whom to ask: the author if we can, else whoever has most and is asked for least."""
        able = [
            lane
            for url, lane in self._lanes.items()
            if self._is_of_use(lane)
            and url not in self._sessions
            and lane.peer.clock.get(origin, 0) > self._here[origin]
            and self.truncated.get((url, origin), 0) <= self._here[origin]
        ]
        author = node_of(origin)
        return max(
            able,
            key=lambda lane: (
                lane.peer.node_id == author,
                -len(wanted.get(lane.url, ())),
                lane.peer.clock.get(origin, 0),
            ),
            default=None,
        )

    # -- one peer --------------------------------------------------------------------------

    async def _session(self, lane: Lane, origins: Sequence[str]) -> None:
        try:
            await self._drain(lane, {origin: self._here[origin] for origin in origins})
        except (PeerCallError, AiMemoryError) as error:
            self.counts.failures += 1
            _LOGGER.info("catching up from %s is put off: %s", lane.url, error)
            self._put_off(origins)
        except Exception:  # outermost frame of the task: the puller must live on
            _LOGGER.exception("catching up from %s failed unexpectedly", lane.url)
            self._put_off(origins)
        finally:
            del self._sessions[lane.url]
            self._bell.ring()

    async def _drain(self, lane: Lane, after: dict[str, int]) -> None:
        """Fetch until nothing is left, asking for the next page while this one is stored."""
        began = dict(after)
        asked: asyncio.Task[Page] | None = asyncio.create_task(self._ask(lane, after))
        try:
            while asked is not None:
                page, asked = await asked, None
                runs = [run for run in page.runs if run.origin in after]
                for run in runs:
                    after[run.origin] = run.after + len(run.entries)
                for origin, floor in page.truncated.items():
                    self.truncated[lane.url, origin] = floor
                    after.pop(origin, None)
                    self.stranded.ring()
                after = {one: seq for one, seq in after.items() if seq < page.clock.get(one, 0)}
                if after and runs:
                    asked = asyncio.create_task(self._ask(lane, after))
                ends = {run.origin: run.after + len(run.entries) for run in runs}
                await self._receiver.take(runs, lane.peer.node_id or "")
                self.counts.pages += 1
                self.counts.entries += sum(len(run.entries) for run in runs)
                for origin in [one for one, end in ends.items() if self._here[one] < end]:
                    after.pop(origin, None)
        finally:
            if asked is not None:
                asked.cancel()
        self._put_off([one for one, seq in began.items() if self._here[one] == seq])

    async def _ask(self, lane: Lane, after: Mapping[str, int]) -> Page:
        message = Pull(
            node_id=self._here.node_id,
            after=dict(after),
            max_bytes=PAGE_BYTES,
            origins=list(after),
        )
        page = await lane.line.ask(Method.LOG, message, Page, answer_bytes=PAGE_BYTES)
        lane.peer.clock = page.clock
        return page

    def _put_off(self, origins: Sequence[str]) -> None:
        now = asyncio.get_running_loop().time()
        for origin in origins:
            lack = self.lacks.get(origin)
            if lack is not None:
                step = min(lack.failures, len(_PENALTY_SECONDS) - 1)
                lack.not_before = now + _PENALTY_SECONDS[step]
                lack.failures += 1

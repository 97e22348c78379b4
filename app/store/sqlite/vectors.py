"""Nearest neighbours over the vectors of a SQLite store: a cache of the table `memory_vectors`.

Vectors sit in memory as f16, a slot each, under their row's `no`; a graph over the
slots serves wide searches, a scan serves narrow ones, small stores, and whatever the
graph has not taken in yet. So an answer never misses a vector that was added, and the
graph may be built late, in small steps, or again from nothing.

A row's `no` is written once: a new vector of the same memory takes a new `no`.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from app.domain.errors import UnprocessableError
from app.store.sqlite.shared_lock import SharedLock
from app.store.sqlite.vector_arena import NO_ROW, NO_SLOT, VectorArena, has_direction
from app.store.sqlite.vector_graph import Graph, dot_products_int8, to_int8
from app.store.sqlite.vector_snapshot import (
    Snapshot,
    SnapshotUnusableError,
    read_snapshot,
    write_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from app.domain.sources import DiskSync
    from app.store.sqlite.vector_blocks import Block

_LOGGER = logging.getLogger(__name__)

# Below this many vectors a scan is as fast as a graph and complete, so none is built.
GRAPH_FROM = 5_000
# How many candidates the rounded graph proposes for k answers, at least.
_CANDIDATES_MIN = 64
_CANDIDATES_PER_ANSWER = 3
# Past this the graph is asked for so much that scanning is no slower.
_CANDIDATES_MAX = 1_024
# Scanning this many gathered rows takes as long as one graph search for _CANDIDATES_MIN
# (bench/vector_index.py prints both).
_SCAN_ROWS_PER_GRAPH_SEARCH = 4_000
# Rows put into the graph under one hold of the lock: what a search may have to wait for.
_GRAPH_STEP = 4
# With more of the vectors than this outside the graph, one scan of all is cheaper than both.
_UNGRAPHED_SHARE_MAX = 0.25
_FETCH_ROWS = 1_000
# Rounding to 8 bits moves neighbours by a few places only.
_PROPOSED_PER_ANSWER = 2
_PROPOSED_SPARE = 8


@dataclass(frozen=True, slots=True)
class VectorRow:
    """One row of `memory_vectors`; `vector` has the index's dim, f16."""

    no: int
    vector: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Row numbers and cosines, side by side, most similar first."""

    nos: NDArray[np.int64]
    cosines: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.nos)

    def part(self, start: int, end: int) -> Neighbours:
        """Those from one place to another."""
        return Neighbours(self.nos[start:end], self.cosines[start:end])


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What it took to make the index equal to the table."""

    added: int
    removed: int
    skipped: int
    """Rows whose vector is of another dim, zero or not finite; they stay in the table."""


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """How to answer a filtered search: scan the allowed rows, or over-fetch and drop."""

    scan: bool
    fetch: int


def plan_filter(*, allowed: int, total: int, count: int) -> FilterPlan:
    """Choose by selectivity; `fetch` is how many unfiltered neighbours to ask for.

    A graph search costs about in proportion to what it fetches, a scan in proportion to
    what is allowed; the factor 2 in `fetch` covers answers that cluster outside the filter.
    """
    if not allowed or total < GRAPH_FROM:
        return FilterPlan(scan=True, fetch=0)
    fetch = min(total, max(_CANDIDATES_MIN, -(-2 * count * total // allowed)))
    scan_cost = allowed / _SCAN_ROWS_PER_GRAPH_SEARCH
    graph_cost = fetch / _CANDIDATES_MIN
    return FilterPlan(scan=scan_cost <= graph_cost or fetch > _CANDIDATES_MAX, fetch=fetch)


class VectorIndex:
    """Safe to use from several threads: searches share, changes exclude briefly."""

    def __init__(self, path: Path, *, dim: int, model: str, disk_sync: DiskSync) -> None:
        """An empty index; see `open`."""
        self._path = path
        self._model = model
        self._disk_sync = disk_sync
        self._changes = threading.Lock()  # one change at a time, and none during a save
        self._lock = SharedLock()  # taken inside `_changes`; keeps searches off half-made changes
        self._arena = VectorArena(dim)
        self._graph: Graph | None = None
        self._outside: dict[int, None] = {}  # slots that the graph lacks, oldest first
        self._seen: dict[str, int] = {}
        self.rebuild_reason: str | None = None

    @classmethod
    def open(cls, path: Path, *, dim: int, model: str, disk_sync: DiskSync) -> VectorIndex:
        """The index that `path` holds, or an empty one if the file is unusable.

        Follow with `catch_up`, which also fills an empty one; `rebuild_reason` says why
        the file could not be used.

        Args:
            path: The snapshot file; it need not exist.
            dim: Components of a vector.
            model: Fingerprint of the embedding model; vectors of two models do not compare.
            disk_sync: How `save` makes the file survive a power loss.
        """
        index = cls(path, dim=dim, model=model, disk_sync=disk_sync)
        try:
            index._restore(read_snapshot(path, dim=dim, model=model))
        except SnapshotUnusableError as error:
            index.rebuild_reason = str(error)
            if path.exists():
                _LOGGER.warning(
                    "vector index %s is rebuilt from the stored vectors: %s", path, error
                )
        return index

    def __len__(self) -> int:
        return self._arena.live

    @property
    def dim(self) -> int:
        return self._arena.dim

    @property
    def highest_no(self) -> int:
        """The highest row number held, 0 if none."""
        with self._lock.shared():
            return int(self._arena.nos.max(initial=0))

    @property
    def seen(self) -> Mapping[str, int]:
        """The vector clock of the log that the index reflects."""
        return dict(self._seen)

    def discard(self, reason: str) -> None:
        """Hold nothing, as if the file had been unusable; `catch_up` fills it again."""
        _LOGGER.warning(
            "vector index %s is rebuilt from the stored vectors: %s", self._path, reason
        )
        with self._changes, self._lock.exclusive():
            self._arena = VectorArena(self._arena.dim)
            self._graph = None
            self._outside.clear()
            self._seen.clear()
        self.rebuild_reason = reason

    def mark_seen(self, clock: Mapping[str, int]) -> None:
        """Raise the vector clock to at least `clock`; call after the changes it covers."""
        with self._changes:
            for origin, seq in clock.items():
                self._seen[origin] = max(seq, self._seen.get(origin, 0))

    @property
    def outside_graph(self) -> int:
        """Vectors that only scans find so far: the work left for `grow_graph`."""
        return len(self._outside) if self._arena.live >= GRAPH_FROM or self._graph else 0

    def add(self, no: int, vector: NDArray[np.float16]) -> None:
        """Make a row findable at once; the graph takes it in later (`grow_graph`).

        A row already held is replaced.

        Raises:
            UnprocessableError: If the vector has another dim, no length, or is not finite.
        """
        if not self._arena.scale(vector):
            raise UnprocessableError("the vector does not fit the index", no=no, dim=self.dim)
        with self._changes, self._lock.exclusive():
            self._drop(no)
            slots = self._arena.put(np.asarray([no], np.int64), vector.reshape(1, -1))
            self._outside[int(slots[0])] = None

    def remove(self, no: int) -> bool:
        """Forget a row; False if it was not held."""
        with self._changes, self._lock.exclusive():
            return self._drop(no)

    def search(
        self, vector: NDArray[np.floating], count: int, candidates: int | None = None
    ) -> Neighbours:
        """The `count` most similar rows.

        `candidates`: how many the graph proposes at least; three for each answer otherwise.
        """
        if candidates is None:
            candidates = _CANDIDATES_PER_ANSWER * count
        candidates = max(_CANDIDATES_MIN, candidates, count)
        return self._search(vector.astype(np.float16), count, candidates)

    def _search(self, query: NDArray[np.float16], count: int, candidates: int) -> Neighbours:
        scale = self._arena.scale(query)
        if not scale:
            return _nothing()
        with self._lock.shared():
            if self._graph is None or len(self._outside) > _UNGRAPHED_SHARE_MAX * self._arena.live:
                return self._ranked(None, self._arena.cosines(query, scale), count)
            proposed = self._graph.search(query, candidates)
            outside = np.fromiter(self._outside, np.int64, len(self._outside))
            slots = np.concatenate((proposed, outside))
            return self._ranked(slots, self._arena.cosines(query, scale, slots), count)

    def search_within(
        self, nos: NDArray[np.int64], vector: NDArray[np.floating], count: int
    ) -> Neighbours:
        """The `count` most similar of `nos`, by comparing with each: complete."""
        query = vector.astype(np.float16)
        scale = self._arena.scale(query)
        if not scale:
            return _nothing()
        with self._lock.shared():
            slots = self._arena.slots(nos)
            return self._ranked(slots, self._arena.cosines(query, scale, slots), count)

    def search_allowed(
        self, nos: NDArray[np.int64], vector: NDArray[np.floating], count: int
    ) -> Neighbours:
        """The `count` most similar of `nos`, by whichever way `plan_filter` finds cheaper."""
        plan = plan_filter(allowed=len(nos), total=len(self), count=count)
        if not plan.scan:
            found = self._search(vector.astype(np.float16), plan.fetch, plan.fetch)
            kept = np.isin(found.nos, nos)
            if int(kept.sum()) >= min(count, len(nos)):
                return Neighbours(found.nos[kept][:count], found.cosines[kept][:count])
        return self.search_within(nos, vector, count)

    def block(self, nos: NDArray[np.int64]) -> Block | None:
        """The vectors of `nos` for `search_block`; None unless every one of them is here."""
        with self._lock.shared():
            slots = self._arena.slots(nos)
            if len(slots) < len(nos):
                return None
            return self._arena.block(slots)

    def search_block(self, block: Block, vector: NDArray[np.floating], count: int) -> Neighbours:
        """The `count` most similar rows of a block; all of them are looked at."""
        query = vector.astype(np.float16)
        scale = self._arena.scale(query)
        if not scale:
            return _nothing()
        closeness = block.scales * dot_products_int8(to_int8(query), block.vectors)
        proposed = _PROPOSED_PER_ANSWER * count + _PROPOSED_SPARE
        with self._lock.shared():
            # Whose slot was given up since, or to another row, is no longer what the block says.
            held = self._arena.nos[block.slots] == block.nos
            if proposed < len(block.nos):
                closeness[~held] = -np.inf
                best = np.argpartition(closeness, -proposed)[-proposed:]
                slots = block.slots[best[held[best]]]
            else:
                slots = block.slots[held]
            return self._ranked(slots, self._arena.cosines(query, scale, slots), count)

    def grow_graph(self, limit: int = 256) -> int:
        """Take up to `limit` vectors into the graph; returns how many are left outside.

        For a background thread: some half a millisecond of CPU a vector, searches
        wait for a few at a time.
        """
        if self._graph is None and self._arena.live < GRAPH_FROM:
            return 0
        with self._changes:
            graph = self._graph or Graph(self.dim)
            batch = list(islice(self._outside, limit))
            for start in range(0, len(batch), _GRAPH_STEP):
                step = batch[start : start + _GRAPH_STEP]
                slots = np.asarray(step, np.int64)
                with self._lock.exclusive():
                    graph.add(slots, self._arena.vectors[slots])
                    self._graph = graph
                    for slot in step:
                        del self._outside[slot]
            return len(self._outside)

    def catch_up(
        self,
        live: NDArray[np.int64],
        fetch: Callable[[NDArray[np.int64]], Iterable[VectorRow]],
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> CatchUp:
        """Make the index hold exactly the rows `live`; what it already holds is not read again.

        The graph is left to `grow_graph`: searches are right at once, only slower.

        Args:
            live: Every `no` of the table that has this model and dim.
            fetch: Reads the rows of some numbers; a row gone meanwhile is left out.
            progress: Told (done, total) after every thousand rows or so.
        """
        with self._lock.shared():
            nos = self._arena.nos
            held = nos[nos != NO_ROW]
        stale = np.setdiff1d(held, live)
        missing = np.setdiff1d(live, held)
        for no in stale.tolist():
            self.remove(no)
        added = skipped = 0
        for start in range(0, len(missing), _FETCH_ROWS):
            rows = list(fetch(missing[start : start + _FETCH_ROWS]))
            fitting = self._add_missing([row for row in rows if self._arena.fits(row.vector)])
            added += fitting
            skipped += len(rows) - fitting
            progress(min(start + _FETCH_ROWS, len(missing)), len(missing))
        if skipped:
            _LOGGER.warning("vector index %s: %d stored vectors do not fit", self._path, skipped)
        return CatchUp(added=added, removed=len(stale), skipped=skipped)

    def _add_missing(self, rows: Sequence[VectorRow]) -> int:
        """Add rows whose vectors have the right shape; returns how many had a direction."""
        if not rows:
            return 0
        vectors = np.stack([row.vector for row in rows])
        directed = has_direction(vectors)
        nos = np.asarray([row.no for row in rows], np.int64)[directed]
        with self._changes, self._lock.exclusive():
            for no in nos.tolist():
                self._drop(no)  # somebody may have added it meanwhile
            slots = self._arena.put(nos, vectors[directed])
            self._outside.update(dict.fromkeys(slots.tolist()))
        return len(nos)

    def save(self) -> None:
        """Write the snapshot; changes wait for it, searches do not.

        Raises:
            OSError: If the disk refuses; the previous snapshot is then still there.
        """
        with self._changes:
            graphed = self._arena.nos != NO_ROW
            graphed[list(self._outside)] = False
            snapshot = Snapshot(
                model=self._model,
                seen=self._seen,
                nos=self._arena.nos,
                graphed=graphed,
                vectors=self._arena.vectors,
                graph=self._graph.dump() if self._graph else b"",
            )
            write_snapshot(self._path, snapshot, self._disk_sync)

    @property
    def memory_bytes(self) -> int:
        """What the vectors and the graph take; what is only reserved is not counted."""
        return self._arena.memory_bytes + (self._graph.memory_bytes if self._graph else 0)

    def _restore(self, snapshot: Snapshot) -> None:
        """Take a snapshot as the content.

        Raises:
            SnapshotUnusableError: If the graph library cannot read its part.
        """
        if snapshot.graph:
            try:
                self._graph = Graph(self.dim, snapshot.graph)
            except (RuntimeError, ValueError) as error:
                raise SnapshotUnusableError("the graph is of another version") from error
        self._arena = VectorArena.restored(snapshot.nos, snapshot.vectors)
        outside = np.flatnonzero((snapshot.nos != NO_ROW) & ~snapshot.graphed)
        self._outside = dict.fromkeys(outside.tolist())
        self._seen = dict(snapshot.seen)

    def _drop(self, no: int) -> bool:
        slot = self._arena.take_out(no)
        if slot == NO_SLOT:
            return False
        if slot in self._outside:
            del self._outside[slot]
        elif self._graph is not None:
            self._graph.remove(slot)
        return True

    def _ranked(
        self, slots: NDArray[np.int64] | None, cosines: NDArray[np.float32], count: int
    ) -> Neighbours:
        """The best `count`; among equals the older row comes first, so answers are stable."""
        nos = self._arena.nos if slots is None else self._arena.nos[slots]
        cosines = np.where(nos == NO_ROW, -np.inf, cosines)
        if count < len(nos):
            best = (
                np.argpartition(-cosines, count - 1)[:count] if count > 0 else np.empty(0, np.int64)
            )
            nos, cosines = nos[best], cosines[best]
        order = np.lexsort((nos, -cosines))
        order = order[nos[order] != NO_ROW]
        return Neighbours(nos[order], cosines[order].astype(np.float32))


def _nothing() -> Neighbours:
    return Neighbours(np.empty(0, np.int64), np.empty(0, np.float32))

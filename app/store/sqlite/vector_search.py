"""The vector leg on SQLite: the index, kept in step with its table, and filtered search.

The index is a cache of `memory_vectors`. Candidates come from it, and a query
over the live rows decides which of them the caller may see; so a row that
died a moment ago is never returned, whatever the index still holds.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np

from app.store.protocol import ScoredId
from app.store.sqlite.stored import json_array
from app.store.sqlite.vector_blocks import VectorBlocks
from app.store.sqlite.vector_places import UNKNOWN, VectorPlaces
from app.store.sqlite.vectors import Neighbours, VectorIndex, VectorRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import apsw
    from numpy.typing import NDArray

    from app.domain.sources import DiskSync
    from app.store.sql.selects import SqlValue
    from app.store.sqlite.readers import Readers
    from app.store.sqlite.vector_blocks import Block

_LOGGER = logging.getLogger(__name__)
_LOOK_AHEAD: Final = 3
_CANDIDATES_MIN: Final = 64
_SPARE: Final = 6
_SCANNED_ROWS_MAX: Final = 50_000
_NAMESPACES_CACHED_MAX: Final = 256
_GROW_STEP: Final = 64
_SAVE_EVERY: Final = 5_000
_BLOCK_ROWS_MIN: Final = 256
_BLOCK_ROWS_MAX: Final = 8_000

# Both would otherwise walk the model's index, which names every row. The plus signs and the cross
# join leave the planner the short way only; a test holds the plans.
NEWER_VECTORS: Final = (
    "SELECT no, vector FROM memory_vectors WHERE no > ? AND +model = ? AND +dim = ?"
)
VECTORS_OF: Final = (
    "SELECT v.no, v.memory_id FROM json_each(?) AS wanted"
    " CROSS JOIN memory_vectors AS v ON v.memory_id = wanted.value WHERE v.model = ?"
)
# The three below go from index to index and leave the vectors' own rows, which are long, alone.
PLACES: Final = (
    "SELECT v.no, memories.rowid FROM memory_vectors AS v"
    " CROSS JOIN memories ON memories.id = v.memory_id WHERE v.model = ? AND v.dim = ?"
)
PLACES_OF_VECTORS: Final = (
    "SELECT v.no, memories.rowid FROM json_each(?) AS wanted"
    " CROSS JOIN memory_vectors AS v ON v.no = wanted.value"
    " CROSS JOIN memories ON memories.id = v.memory_id"
)
PLACES_OF_ROWS: Final = (
    "SELECT v.no, memories.rowid FROM json_each(?) AS wanted"
    " CROSS JOIN memories ON memories.rowid = wanted.value"
    " CROSS JOIN memory_vectors AS v ON v.memory_id = memories.id WHERE v.model = ?"
)


class Near(NamedTuple):
    """A row that a vector search found: its place in `memories` and the columns asked for."""

    row: int
    id: str
    cosine: float
    columns: Sequence[SqlValue]


class VectorSearch:
    """Search and upkeep of one model's vectors."""

    def __init__(
        self,
        readers: Readers,
        path: Path,
        *,
        model: str,
        dim: int,
        disk_sync: DiskSync,
        threaded: bool,
    ) -> None:
        self._readers = readers
        self._index = VectorIndex.open(path, dim=dim, model=model, disk_sync=disk_sync)
        self._model = model
        self._dim = dim
        self._lock = threading.Lock()
        self._by_namespace: dict[str, NDArray[np.int64]] = {}
        self._dead: set[int] = set()
        self._places = VectorPlaces()
        self._blocks = VectorBlocks()
        self._unsaved = 0
        self._wake = threading.Event()
        self._closing = False
        self._threaded = threaded
        self._thread: threading.Thread | None = None

    @property
    def model(self) -> str:
        """Whose vectors these are."""
        return self._model

    @property
    def index(self) -> VectorIndex:
        """The index itself, for status and measuring."""
        return self._index

    def open(self, connection: apsw.Connection, progress: Callable[[int, int], None]) -> None:
        """Make the index equal to the table, then keep it so."""
        self._check_history(connection)
        nos = np.fromiter(
            (
                cast("int", row[0])
                for row in connection.execute(
                    "SELECT no FROM memory_vectors WHERE model = ? AND dim = ?",
                    (self._model, self._dim),
                )
            ),
            np.int64,
        )
        caught = self._index.catch_up(nos, lambda some: _rows(connection, some), progress)
        if caught.added or caught.removed:
            _LOGGER.info("vector index: %d added, %d removed", caught.added, caught.removed)
        self._unsaved = caught.added + caught.removed
        if self._threaded:
            self._thread = threading.Thread(target=self._tend, name="vector-index", daemon=True)
            self._thread.start()
            self._wake.set()

    def _check_history(self, connection: apsw.Connection) -> None:
        """Let go of an index that knows more of the log than the store does.

        It was saved beside another file, or beside this one before it was set back: the same row
        numbers may by now stand for other vectors.
        """
        heads = {
            cast("str", origin): cast("int", head)
            for origin, head in connection.execute("SELECT origin, head_seq FROM log_origins")
        }
        if any(seq > heads.get(origin, 0) for origin, seq in self._index.seen.items()):
            self._index.discard("it was saved beside another history of this store")

    def warm(self, connection: apsw.Connection) -> None:
        """Learn where every vector belongs; searches learn it one by one otherwise."""
        changes = self._places.changes
        found = connection.execute(PLACES, (self._model, self._dim))
        pairs = np.fromiter(
            (cast("int", number) for pair in found for number in pair), np.int64
        ).reshape(-1, 2)
        self._places.learn(pairs[:, 0], pairs[:, 1], changes)

    def note(
        self,
        connection: apsw.Connection | None,
        namespaces: Iterable[str],
        text_rows: Iterable[int],
    ) -> None:
        """A batch committed. With a connection, catch up here; else the thread does.

        `text_rows`: rows of `memories` that were removed, or whose text was replaced.
        """
        self._places.forget(text_rows)
        with self._lock:
            for namespace in namespaces:
                self._by_namespace.pop(namespace, None)
                self._blocks.forget(namespace)
        if connection is not None:
            self._follow(connection)
        else:
            self._wake.set()

    @property
    def is_worth_saving(self) -> bool:
        """Whether losing what is unsaved would make the next boot slow."""
        return self._unsaved >= _SAVE_EVERY

    def save(self, clock: Mapping[str, int]) -> None:
        """Write the snapshot, saying what part of the log it has seen."""
        self._index.mark_seen(clock)
        self._index.save()
        self._unsaved = 0

    def close(self, clock: Mapping[str, int]) -> None:
        """Stop tending and save what is unsaved."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._unsaved:
            try:
                self.save(clock)
            except OSError as error:
                _LOGGER.warning("the vector index was not saved, it will be rebuilt: %s", error)

    # -- upkeep ------------------------------------------------------------------------------

    def _tend(self) -> None:
        while True:
            if not self._index.outside_graph:
                self._wake.wait()
            self._wake.clear()
            if self._closing:
                return
            try:
                self._readers.run_here(self._follow)
                self._index.grow_graph(_GROW_STEP)
            except Exception:  # outermost frame of the thread
                _LOGGER.exception("the vector index fell behind; it catches up at the next write")

    def _follow(self, connection: apsw.Connection) -> None:
        """Take in rows newer than the newest held, and let go of those found dead."""
        changes = self._places.changes
        newer: list[int] = []
        for no, data in connection.execute(
            NEWER_VECTORS,
            (self._index.highest_no, self._model, self._dim),
        ):
            self._index.add(cast("int", no), np.frombuffer(cast("bytes", data), dtype="<f2"))
            newer.append(cast("int", no))
        self._unsaved += len(newer)
        if newer:  # so that the vectors that they replace are no longer taken for current
            pairs = _pairs(connection, PLACES_OF_VECTORS, (json_array(newer),))
            self._learn(pairs, changes)
        with self._lock:
            dead, self._dead = self._dead, set()
        for no in dead:
            self._index.remove(no)
            self._unsaved += 1

    # -- searching ---------------------------------------------------------------------------

    def search(
        self,
        connection: apsw.Connection,
        vector: NDArray[np.floating],
        condition: tuple[str, tuple[SqlValue, ...]],
        namespaces: Sequence[str],
        limit: int,
    ) -> list[ScoredId]:
        """The nearest live rows that the condition lets through."""
        found = self.nearest(connection, vector, condition, namespaces, limit)
        return [ScoredId(one.id, one.cosine) for one in found]

    def nearest(
        self,
        connection: apsw.Connection,
        vector: NDArray[np.floating],
        condition: tuple[str, tuple[SqlValue, ...]],
        namespaces: Sequence[str],
        limit: int,
        columns: str = "",
    ) -> list[Near]:
        """As `search`, with some columns of each row (text for a select's list)."""
        if limit <= 0 or not len(self._index):
            return []
        asked = _Asked(connection, condition, f", {columns}" if columns else "")
        block = self._block(connection, namespaces[0]) if len(namespaces) == 1 else None
        nos = self._all_within(connection, namespaces) if namespaces and block is None else None
        # A row that is not allowed is the exception: look at few more than wanted, then at many.
        for wanted, looked in (
            (limit + limit // 4 + _SPARE, _LOOK_AHEAD * limit),
            (_LOOK_AHEAD * limit + _CANDIDATES_MIN, None),
        ):
            if block is not None:
                found = self._index.search_block(block, vector, wanted)
                complete = len(block.nos) <= wanted
            elif nos is None:
                found = self._index.search(vector, wanted, looked)
                complete = len(self._index) <= wanted
            else:
                found = self._index.search_allowed(nos, vector, wanted)
                complete = len(nos) <= wanted
            hits = self._first_allowed(asked, found, limit)
            if len(hits) >= limit or complete:
                return hits
        return self._exhaustive(asked, vector, limit)

    def _block(self, connection: apsw.Connection, namespace: str) -> Block | None:
        """The vectors of a namespace that is neither so small nor so large that none is needed."""
        held = self._blocks.get(namespace)
        if held is not None:
            return held
        changes = self._blocks.changes
        nos = self._within(connection, namespace)
        if not _BLOCK_ROWS_MIN <= len(nos) <= _BLOCK_ROWS_MAX:
            return None
        if not self._blocks.has_room(len(nos) * self._dim):
            return None
        block = self._index.block(nos)
        if block is not None:
            self._blocks.keep(namespace, block, changes)
        return block

    def _all_within(
        self, connection: apsw.Connection, namespaces: Sequence[str]
    ) -> NDArray[np.int64]:
        parts = [self._within(connection, one) for one in namespaces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _exhaustive(self, asked: _Asked, vector: NDArray[np.floating], limit: int) -> list[Near]:
        """Few of the best were allowed: enumerate what is, and compare with each."""
        where, parameters = asked.condition
        nos = np.fromiter(
            (
                cast("int", row[0])
                for row in asked.connection.execute(
                    "SELECT v.no FROM memories JOIN memory_vectors AS v"  # noqa: S608 - own text
                    f" ON v.memory_id = memories.id WHERE {where} LIMIT ?",
                    (*parameters, _SCANNED_ROWS_MAX),
                )
            ),
            np.int64,
        )
        found = self._index.search_allowed(nos, vector, limit)
        return self._first_allowed(asked, found, limit)

    def _within(self, connection: apsw.Connection, namespace: str) -> NDArray[np.int64]:
        with self._lock:
            held = self._by_namespace.get(namespace)
        if held is not None:
            return held
        nos = np.fromiter(
            (
                cast("int", row[0])
                for row in connection.execute(
                    "SELECT v.no FROM memories JOIN memory_vectors AS v"
                    " ON v.memory_id = memories.id WHERE memories.namespace = ?",
                    (namespace,),
                )
            ),
            np.int64,
        )
        with self._lock:
            if len(self._by_namespace) >= _NAMESPACES_CACHED_MAX:
                self._by_namespace.clear()
            self._by_namespace[namespace] = nos
        return nos

    def _first_allowed(self, asked: _Asked, found: Neighbours, limit: int) -> list[Near]:
        """The first `limit` that may be seen; no more are asked for than it takes."""
        hits: list[Near] = []
        start = 0
        while start < len(found) and len(hits) < limit:
            # As a rule all of the first are allowed; a few more make up for those that are not.
            end = start + (limit - len(hits) if not start else _SPARE + 2 * (limit - len(hits)))
            hits += self._allowed(asked, found.part(start, end))
            start = end
        return hits[:limit]

    def _allowed(self, asked: _Asked, found: Neighbours) -> list[Near]:
        rows = self._rows_of(asked.connection, found.nos).tolist()
        where, parameters = asked.condition
        read = asked.connection.execute(
            f"SELECT memories.rowid, memories.id, ({where}){asked.columns}"  # noqa: S608 - own text
            " FROM json_each(?) AS wanted"
            " CROSS JOIN memories ON memories.rowid = wanted.value",
            (*parameters, json_array([row for row in rows if row != UNKNOWN])),
        ).fetchall()
        known = {cast("int", one[0]): one for one in read}
        return [
            Near(row, cast("str", known[row][1]), cosine, known[row][3:])
            for row, cosine in zip(rows, found.cosines.tolist(), strict=True)
            if row in known and known[row][2]
        ]

    def _rows_of(self, connection: apsw.Connection, nos: NDArray[np.int64]) -> NDArray[np.int32]:
        """The row of each vector, `UNKNOWN` for those whose memory does not live."""
        rows = self._places.rows(nos)
        asked = nos[rows == UNKNOWN]
        if not len(asked):
            return rows
        changes = self._places.changes
        pairs = _pairs(connection, PLACES_OF_VECTORS, (json_array(asked.tolist()),))
        dead = set(asked.tolist()) - {no for no, _ in pairs}
        if dead:
            with self._lock:
                self._dead.update(self._vanished(connection, sorted(dead)))
        self._learn(pairs, changes)
        rows = self._places.rows(nos)
        # What could not be kept is answered all the same.
        told = dict(pairs)
        for place in np.flatnonzero(rows == UNKNOWN).tolist():
            rows[place] = told.get(int(nos[place]), UNKNOWN)
        return rows

    def _learn(self, pairs: Sequence[tuple[int, int]], changes: int) -> None:
        table = np.array(pairs, np.int64).reshape(-1, 2)
        self._places.learn(table[:, 0], table[:, 1], changes)

    @staticmethod
    def _vanished(connection: apsw.Connection, nos: Sequence[int]) -> set[int]:
        """Those without a row; an archived memory's vector stays, it may be restored."""
        kept = connection.execute(
            "SELECT no FROM memory_vectors WHERE no IN (SELECT value FROM json_each(?))",
            (json_array(nos),),
        )
        return set(nos) - {cast("int", row[0]) for row in kept}

    def cosines(
        self, connection: apsw.Connection, vector: NDArray[np.floating], ids: Sequence[str]
    ) -> dict[str, float]:
        """Cosines of given rows, those that have a vector of this model."""
        rows = connection.execute(
            VECTORS_OF,
            (json_array(list(ids)), self._model),
        ).fetchall()
        by_no = {cast("int", no): cast("str", memory_id) for no, memory_id in rows}
        found = self._index.search_within(
            np.fromiter(by_no, np.int64, len(by_no)), vector, len(by_no)
        )
        return {
            by_no[int(no)]: float(cosine)
            for no, cosine in zip(found.nos, found.cosines, strict=True)
        }

    def vectors_of(self, connection: apsw.Connection, rows: Sequence[int]) -> dict[int, int]:
        """Vector number to row, of those rows of `memories` that have a vector of this model."""
        asked = np.asarray(rows, np.int64)
        nos = self._places.nos(asked)
        known = nos != UNKNOWN
        found = dict(zip(nos[known].tolist(), asked[known].tolist(), strict=True))
        if not known.all():
            changes = self._places.changes
            pairs = _pairs(
                connection, PLACES_OF_ROWS, (json_array(asked[~known].tolist()), self._model)
            )
            self._learn(pairs, changes)
            found.update(pairs)
        return found

    def cosines_of(
        self, vector: NDArray[np.floating], row_of: Mapping[int, int]
    ) -> dict[int, float]:
        """Cosine of each row of `vectors_of`, of those that the index holds."""
        nos = np.fromiter(row_of, np.int64, len(row_of))
        found = self._index.search_within(nos, vector, len(nos))
        return {
            row_of[no]: cosine
            for no, cosine in zip(found.nos.tolist(), found.cosines.tolist(), strict=True)
        }


@dataclass(frozen=True, slots=True)
class _Asked:
    """What stays the same while a search looks further and further."""

    connection: apsw.Connection
    condition: tuple[str, tuple[SqlValue, ...]]
    columns: str


def _pairs(
    connection: apsw.Connection, text: str, parameters: tuple[SqlValue, ...]
) -> list[tuple[int, int]]:
    return cast("list[tuple[int, int]]", connection.execute(text, parameters).fetchall())


def _rows(connection: apsw.Connection, nos: NDArray[np.int64]) -> Iterable[VectorRow]:
    for no, data in connection.execute(
        "SELECT no, vector FROM memory_vectors WHERE no IN (SELECT value FROM json_each(?))",
        (json_array([int(no) for no in nos]),),
    ):
        yield VectorRow(cast("int", no), np.frombuffer(cast("bytes", data), dtype="<f2"))

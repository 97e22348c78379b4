"""The vector leg on SQLite: the index, kept in step with its table, and filtered search.

The index is a cache of `memory_vectors`. Candidates come from it, and a query
over the live rows decides which of them the caller may see; so a row that
died a moment ago is never returned, whatever the index still holds.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from app.store.protocol import ScoredId
from app.store.sqlite.stored import json_array
from app.store.sqlite.vectors import Neighbours, VectorIndex, VectorRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import apsw
    from numpy.typing import NDArray

    from app.domain.sources import DiskSync
    from app.store.sql.selects import SqlValue
    from app.store.sqlite.readers import Readers

_LOGGER = logging.getLogger(__name__)
_LOOK_AHEAD: Final = 3
_CANDIDATES_MIN: Final = 64
_SPARE: Final = 6
_SCANNED_ROWS_MAX: Final = 50_000
_NAMESPACES_CACHED_MAX: Final = 256
_GROW_STEP: Final = 64
_SAVE_EVERY: Final = 5_000

# Both would otherwise walk the model's index, which names every row. The plus signs and the cross
# join leave the planner the short way only; a test holds the plans.
NEWER_VECTORS: Final = (
    "SELECT no, vector FROM memory_vectors WHERE no > ? AND +model = ? AND +dim = ?"
)
VECTORS_OF: Final = (
    "SELECT v.no, v.memory_id FROM json_each(?) AS wanted"
    " CROSS JOIN memory_vectors AS v ON v.memory_id = wanted.value WHERE v.model = ?"
)


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

    def note(self, connection: apsw.Connection | None, namespaces: Iterable[str]) -> None:
        """A batch committed. With a connection, catch up here; else the thread does."""
        with self._lock:
            for namespace in namespaces:
                self._by_namespace.pop(namespace, None)
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
        for no, data in connection.execute(
            NEWER_VECTORS,
            (self._index.highest_no, self._model, self._dim),
        ):
            self._index.add(cast("int", no), np.frombuffer(cast("bytes", data), dtype="<f2"))
            self._unsaved += 1
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
        if limit <= 0 or not len(self._index):
            return []
        nos = self._all_within(connection, namespaces) if namespaces else None
        # A row that is not allowed is the exception: look at few more than wanted, then at many.
        for wanted in (limit + limit // 4 + _SPARE, _LOOK_AHEAD * limit + _CANDIDATES_MIN):
            if nos is None:
                found = self._index.search(vector, wanted)
                complete = len(self._index) <= wanted
            else:
                found = self._index.search_allowed(nos, vector, wanted)
                complete = len(nos) <= wanted
            hits = self._allowed(connection, found, condition)
            if len(hits) >= limit or complete:
                return hits[:limit]
        return self._exhaustive(connection, vector, condition, limit)

    def _all_within(
        self, connection: apsw.Connection, namespaces: Sequence[str]
    ) -> NDArray[np.int64]:
        parts = [self._within(connection, one) for one in namespaces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _exhaustive(
        self,
        connection: apsw.Connection,
        vector: NDArray[np.floating],
        condition: tuple[str, tuple[SqlValue, ...]],
        limit: int,
    ) -> list[ScoredId]:
        """Few of the best were allowed: enumerate what is, and compare with each."""
        where, parameters = condition
        nos = np.fromiter(
            (
                cast("int", row[0])
                for row in connection.execute(
                    "SELECT v.no FROM memories JOIN memory_vectors AS v"  # noqa: S608 - own text
                    f" ON v.memory_id = memories.id WHERE {where} LIMIT ?",
                    (*parameters, _SCANNED_ROWS_MAX),
                )
            ),
            np.int64,
        )
        found = self._index.search_allowed(nos, vector, limit)
        return self._allowed(connection, found, condition)[:limit]

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

    def _allowed(
        self,
        connection: apsw.Connection,
        found: Neighbours,
        condition: tuple[str, tuple[SqlValue, ...]],
    ) -> list[ScoredId]:
        nos = [int(no) for no in found.nos]
        where, parameters = condition
        rows = connection.execute(
            f"SELECT v.no, memories.id, ({where}) FROM json_each(?) AS wanted"  # noqa: S608 - own text
            " JOIN memory_vectors AS v ON v.no = wanted.value"
            " JOIN memories ON memories.id = v.memory_id",
            (*parameters, json_array(nos)),
        ).fetchall()
        known = {cast("int", no): (cast("str", one), bool(ok)) for no, one, ok in rows}
        dead = [no for no in nos if no not in known]
        if dead:
            with self._lock:
                self._dead.update(self._vanished(connection, dead))
        return [
            ScoredId(known[no][0], float(cosine))
            for no, cosine in zip(nos, found.cosines, strict=True)
            if no in known and known[no][1]
        ]

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


def _rows(connection: apsw.Connection, nos: NDArray[np.int64]) -> Iterable[VectorRow]:
    for no, data in connection.execute(
        "SELECT no, vector FROM memory_vectors WHERE no IN (SELECT value FROM json_each(?))",
        (json_array([int(no) for no in nos]),),
    ):
        yield VectorRow(cast("int", no), np.frombuffer(cast("bytes", data), dtype="<f2"))

"""A recall's two reads: the words' hits, and all the rest.

A hand-over between threads costs as much as a query, so each read does all that it can: the first
runs beside the embedding of the question and weighs its own hits, the second searches the vectors,
weighs what only they found, and reads the rows that ranking chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from app.domain.ranking import COSINE_FLOOR, Candidate
from app.domain.recalled import Chosen, WordHits
from app.domain.timestamps import parse_instant
from app.store.sql.memories import MEMORY_COLUMNS, memory_of
from app.store.sqlite.analysis import Analyser
from app.store.sqlite.asked_words import read_words
from app.store.sqlite.coverage import Coverage
from app.store.sqlite.fulltext import search_asked
from app.store.sqlite.stored import json_array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import apsw
    import numpy as np
    from numpy.typing import NDArray

    from app.domain.memory import Memory
    from app.domain.recalled import Choose
    from app.store.sql.conditions import Condition
    from app.store.sql.selects import SqlValue
    from app.store.sqlite.common_words import CommonWords
    from app.store.sqlite.vector_search import VectorSearch

_WEIGHED: Final = ", ".join(
    f"memories.{name}"
    for name in (
        "tier",
        "namespace",
        "priority",
        "access_count",
        "confidence",
        "created_at",
        "updated_at",
    )
)
_COLUMNS: Final = f"{_WEIGHED}, octet_length(memories.content), memories.title"
_ROWS: Final = (
    f"SELECT memories.rowid, memories.id, {_COLUMNS} FROM json_each(?) AS wanted"  # noqa: S608 - own names
    " CROSS JOIN memories ON memories.rowid = wanted.value"
)
_WHOLE_NAMES: Final = tuple(column.name for column in MEMORY_COLUMNS)
_WHOLE: Final = (
    f"SELECT {', '.join(f'memories.{name}' for name in _WHOLE_NAMES)}"  # noqa: S608 - own names
    " FROM json_each(?) AS wanted CROSS JOIN memories ON memories.rowid = wanted.value"
    " WHERE memories.expires_at IS NULL OR memories.expires_at > ?"
)


@dataclass(frozen=True, slots=True)
class NearAsked:
    """A vector search: the vector, who may be found, and how many at most."""

    vector: NDArray[np.float32]
    condition: Condition
    namespaces: Sequence[str]
    limit: int


class _Row(NamedTuple):
    """Ranking's columns of one row, as the driver gives them, with its id before and title last."""

    row: int
    id: str
    columns: Sequence[SqlValue]

    @property
    def title(self) -> str:
        return cast("str", self.columns[-1])

    def candidate(
        self, text_score: float | None, cosine: float | None, coverage: float | None
    ) -> Candidate:
        """For ranking."""
        tier, namespace, priority, accesses, confidence, created, updated, size, _ = cast(
            "tuple[str, str, int, int, float, str, str, int, str]", self.columns
        )
        created_at = parse_instant(created)
        return Candidate(
            self.id,
            tier,
            namespace,
            priority,
            accesses,
            float(confidence),
            created_at,
            created_at if updated == created else parse_instant(updated),
            size,
            text_score,
            cosine,
            coverage,
        )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the first read found out for the second."""

    rows: Sequence[_Row]
    vectors: Mapping[int, int]
    """Vector number to row, of the rows that have one."""
    coverage: Coverage | None
    covered: Mapping[int, float]


_NOTHING_PREPARED: Final = _Prepared((), {}, None, {})


class RecallReads:
    """Both reads, over whichever connection they are given."""

    def __init__(self, common_words: CommonWords, vectors: VectorSearch | None) -> None:
        self._common_words = common_words
        self._vectors = vectors

    def words(
        self,
        connection: apsw.Connection,
        query: str,
        condition: Condition,
        limit: int,
        *,
        covers: bool,
    ) -> WordHits:
        """Rows that hold any word of the question."""
        where, parameters = condition
        where = where.replace("memories.", "m.")  # the text leg's alias; values are bound
        asked = read_words(connection, query, self._common_words)
        hits = search_asked(connection, asked, where, parameters, limit)
        read = connection.execute(_ROWS, (json_array([hit.row for hit in hits]),))
        rows = [_Row(cast("int", one[0]), cast("str", one[1]), one[2:]) for one in read.fetchall()]
        vectors: Mapping[int, int] = {}
        if self._vectors is not None and rows:
            vectors = self._vectors.vectors_of(connection, [row.row for row in rows])
        coverage = Coverage(connection, asked) if covers else None
        covered: Mapping[int, float] = {}
        if coverage is not None:
            titles = {row.row: row.title for row in rows}
            covered = coverage.of(connection, asked.analyser, titles)
        return WordHits(
            {hit.id: hit.score for hit in hits}, _Prepared(rows, vectors, coverage, covered)
        )

    def best(
        self,
        connection: apsw.Connection,
        words: WordHits,
        near: NearAsked | None,
        now: str,
        choose: Choose,
    ) -> Chosen:
        """The rows that `choose` picks from the hits and the nearest."""
        prepared = words.prepared
        if not isinstance(prepared, _Prepared):
            prepared = _NOTHING_PREPARED
        rows = {row.row: row for row in prepared.rows}
        cosines: dict[int, float] = {}
        covered = dict(prepared.covered)
        found = 0
        if near is not None and self._vectors is not None:
            cosines = self._vectors.cosines_of(near.vector, prepared.vectors)
            added: list[_Row] = []
            for one in self._vectors.nearest(
                connection, near.vector, near.condition, near.namespaces, near.limit, _COLUMNS
            ):
                if one.cosine <= COSINE_FLOOR:
                    break
                found += 1
                cosines[one.row] = one.cosine
                if one.row not in rows:
                    added.append(_Row(one.row, one.id, one.columns))
            if prepared.coverage is not None and added:
                titles = {row.row: row.title for row in added}
                covered |= prepared.coverage.of(connection, Analyser(connection), titles)
            rows |= {row.row: row for row in added}
        candidates = [
            row.candidate(words.scores.get(row.id), cosines.get(number), covered.get(number))
            for number, row in rows.items()
        ]
        ranked = choose(candidates)
        places = {row.id: row.row for row in rows.values()}
        memories = self._whole(connection, [places[one.id] for one in ranked], now)
        kept = [memories[one.id] for one in ranked if one.id in memories]
        return Chosen(ranked, kept, len(candidates), found)

    @staticmethod
    def _whole(connection: apsw.Connection, rows: Sequence[int], now: str) -> Mapping[str, Memory]:
        read = connection.execute(_WHOLE, (json_array(list(rows)), now)).fetchall()
        memories = (memory_of(dict(zip(_WHOLE_NAMES, row, strict=True))) for row in read)
        return {memory.id: memory for memory in memories}

"""A recall's two reads: the words' hits, and all the rest.

Each is one transaction of few statements. The first runs beside the embedding of the question; the
second searches the vectors, weighs what only they found, and reads the rows that ranking chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.ranking import COSINE_FLOOR
from app.domain.recalled import Chosen, WordHits
from app.store.postgres.fragments import Fragment, fragment, rows
from app.store.postgres.text_search import asked, coverage_of, search_any
from app.store.sql.memories import MEMORY_COLUMNS, RANKED_NAMES, candidate_of, memory_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import psycopg
    from numpy.typing import NDArray

    from app.domain.memory import Memory
    from app.domain.ranking import Candidate
    from app.domain.recalled import Choose
    from app.store.postgres.collection import Collection, Facts
    from app.store.postgres.vector_search import Asked, VectorLeg
    from app.store.protocol import ScoredId

_RANKED: Final = f"SELECT {', '.join(RANKED_NAMES)}, octet_length(content) AS content_bytes, "
_RANKED_NAMES: Final = (*RANKED_NAMES, "content_bytes")
_WHOLE_NAMES: Final = tuple(column.name for column in MEMORY_COLUMNS)
_WHOLE: Final = (
    f"SELECT {', '.join(_WHOLE_NAMES)} FROM memories"  # noqa: S608 - own names
    " WHERE id = ANY (%s) AND (expires_at IS NULL OR expires_at > %s::timestamptz)"
)
_NULL: Final = Fragment("NULL")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows may be found: a condition over `memories`, and its namespaces if it names any."""

    condition: Fragment
    namespaces: Sequence[str]
    limit: int


@dataclass(frozen=True, slots=True)
class Covering:
    """That coverage is asked for, and of which words; None for a question that has none."""

    facts: Facts | None


class RecallReads:
    """Both reads, over whichever connection they are given."""

    def __init__(self, collection: Collection, vectors: VectorLeg | None) -> None:
        self._collection = collection
        self._vectors = vectors

    def words(
        self, connection: psycopg.Connection, query: str, scope: Scope, *, covers: bool
    ) -> WordHits:
        """Rows that hold any word of the question."""
        facts = asked(connection, self._collection, query)
        hits: Sequence[ScoredId] = ()
        if facts is not None:
            hits = search_any(connection, facts, scope.condition, scope.namespaces, scope.limit)
        scores = {hit.id: hit.score for hit in hits}
        return WordHits(scores, Covering(facts) if covers else None)

    def best(
        self,
        connection: psycopg.Connection,
        words: WordHits,
        near: tuple[NDArray[np.float32], Scope] | None,
        now: str,
        choose: Choose,
    ) -> Chosen:
        """The rows that `choose` picks from the hits and the nearest."""
        assert words.prepared is None or isinstance(words.prepared, Covering)
        question = None
        nearest: list[str] = []
        if near is not None and self._vectors is not None:
            vector, scope = near
            question = self._vectors.asked(connection, vector, scope.limit)
            hits = () if question is None else question.search(scope.condition, scope.limit)
            nearest = [hit.id for hit in hits if hit.score > COSINE_FLOOR]
        ids = list(dict.fromkeys([*words.scores, *nearest]))
        candidates = _weighed(connection, ids, question, words.prepared, words.scores)
        ranked = choose(candidates)
        memories = _whole(connection, [one.id for one in ranked], now)
        kept = [memories[one.id] for one in ranked if one.id in memories]
        return Chosen(ranked, kept, len(candidates), len(nearest))

    def weighed(
        self,
        connection: psycopg.Connection,
        ids: Sequence[str],
        vector: NDArray[np.float32] | None,
        query: str | None,
    ) -> list[Candidate]:
        """What ranking needs of those rows that exist; cosines and coverage if they are asked."""
        question = covering = None
        if vector is not None and self._vectors is not None:
            question = self._vectors.asked(connection, vector)
        if query is not None:
            covering = Covering(asked(connection, self._collection, query))
        return _weighed(connection, ids, question, covering, {})


def _weighed(
    connection: psycopg.Connection,
    ids: Sequence[str],
    question: Asked | None,
    covering: Covering | None,
    scores: Mapping[str, float],
) -> list[Candidate]:
    if not ids:
        return []
    statement = (
        fragment(_RANKED)
        + (_NULL if question is None else question.cosine())
        + fragment(", ")
        + (_NULL if covering is None else coverage_of(covering.facts))
        + fragment(" FROM memories WHERE id = ANY (%s)", list(ids))
    )
    return [
        candidate_of(
            dict(zip(_RANKED_NAMES, row, strict=True)),
            text_score=scores.get(row[0]),
            cosine=cosine,
            coverage=coverage,
        )
        for *row, cosine, coverage in rows(connection, statement)
    ]


def _whole(connection: psycopg.Connection, ids: Sequence[str], now: str) -> Mapping[str, Memory]:
    if not ids:
        return {}
    found = rows(connection, fragment(_WHOLE, list(ids), now))
    memories = (memory_of(dict(zip(_WHOLE_NAMES, row, strict=True))) for row in found)
    return {memory.id: memory for memory in memories}

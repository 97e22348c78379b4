"""A recall's two reads: the words' hits, and all the rest.

Each is one transaction of few statements. The first runs beside the embedding of the question; the
second searches the vectors, weighs what only they found, and reads the rows that ranking chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from app.domain.ranking import COSINE_FLOOR
from app.domain.recalled import Chosen, WordHits
from app.store.postgres.fragments import Fragment, fragment, rows
from app.store.postgres.text_search import coverages, search_any
from app.store.sql.memories import MEMORY_COLUMNS, RANKED_NAMES, candidate_of, memory_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import psycopg
    from numpy.typing import NDArray

    from app.domain.memory import Memory
    from app.domain.ranking import Candidate
    from app.domain.recalled import Choose
    from app.store.postgres.collection import Collection
    from app.store.postgres.vector_search import VectorLeg

_RANKED: Final = f"SELECT {', '.join(RANKED_NAMES)}, octet_length(content) AS content_bytes, "
_RANKED_NAMES: Final = (*RANKED_NAMES, "content_bytes")
_WHOLE_NAMES: Final = tuple(column.name for column in MEMORY_COLUMNS)
_WHOLE: Final = (
    f"SELECT {', '.join(_WHOLE_NAMES)} FROM memories"  # noqa: S608 - own names
    " WHERE id = ANY (%s) AND (expires_at IS NULL OR expires_at > %s::timestamptz)"
)
_NO_COSINE: Final = Fragment("NULL")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows may be found: a condition over `memories`, and its namespaces if it names any."""

    condition: Fragment
    namespaces: Sequence[str]
    limit: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the first read found out for the second. Without a `query` no coverage will count."""

    query: str | None
    covered: Mapping[str, float]


class RecallReads:
    """Both reads, over whichever connection they are given."""

    def __init__(self, collection: Collection, vectors: VectorLeg | None) -> None:
        self._collection = collection
        self._vectors = vectors

    def words(
        self, connection: psycopg.Connection, query: str, scope: Scope, *, covers: bool
    ) -> WordHits:
        """Rows that hold any word of the question."""
        hits = search_any(
            connection, self._collection, query, scope.condition, scope.namespaces, scope.limit
        )
        covered = {hit.id: hit.coverage for hit in hits} if covers else {}
        return WordHits(
            {hit.id: hit.score for hit in hits}, _Prepared(query if covers else None, covered)
        )

    def best(
        self,
        connection: psycopg.Connection,
        words: WordHits,
        near: tuple[NDArray[np.float32], Scope] | None,
        now: str,
        choose: Choose,
    ) -> Chosen:
        """The rows that `choose` picks from the hits and the nearest."""
        prepared = words.prepared
        assert isinstance(prepared, _Prepared) or not words.scores
        query = prepared.query if isinstance(prepared, _Prepared) else None
        covered = dict(prepared.covered) if isinstance(prepared, _Prepared) else {}
        vector: NDArray[np.float32] | None = None
        nearest: list[str] = []
        if near is not None and self._vectors is not None:
            vector, scope = near
            hits = self._vectors.search(connection, vector, scope.condition, scope.limit)
            nearest = [hit.id for hit in hits if hit.score > COSINE_FLOOR]
        ids = list(dict.fromkeys([*words.scores, *nearest]))
        if query is not None:
            added = [one for one in nearest if one not in words.scores]
            covered.update(coverages(connection, self._collection, query, added))
        candidates = [
            replace(row, text_score=words.scores.get(row.id), coverage=covered.get(row.id))
            for row in self.ranked(connection, ids, vector)
        ]
        ranked = choose(candidates)
        memories = _whole(connection, [one.id for one in ranked], now)
        kept = [memories[one.id] for one in ranked if one.id in memories]
        return Chosen(ranked, kept, len(candidates), len(nearest))

    def ranked(
        self,
        connection: psycopg.Connection,
        ids: Sequence[str],
        vector: NDArray[np.float32] | None,
    ) -> list[Candidate]:
        """What ranking needs of those rows that exist, with a vector also their cosines."""
        if not ids:
            return []
        cosine = _NO_COSINE
        if vector is not None and self._vectors is not None:
            cosine = self._vectors.cosine(connection, vector)
        found = rows(
            connection,
            fragment(_RANKED) + cosine + fragment(" FROM memories WHERE id = ANY (%s)", list(ids)),
        )
        return [
            replace(
                candidate_of(dict(zip(_RANKED_NAMES, row, strict=True))),
                cosine=cast("float | None", cosine),
            )
            for *row, cosine in found
        ]


def _whole(connection: psycopg.Connection, ids: Sequence[str], now: str) -> Mapping[str, Memory]:
    if not ids:
        return {}
    found = rows(connection, fragment(_WHOLE, list(ids), now))
    memories = (memory_of(dict(zip(_WHOLE_NAMES, row, strict=True))) for row in found)
    return {memory.id: memory for memory in memories}

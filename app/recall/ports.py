"""What recall needs of a store and of an embedder, in recall's own words.

`Scope` is whatever the caller's service made of namespace, tags, dates, kinds, citations and
visibility. Recall hands it through untouched: each retriever filters by it BEFORE its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from app.domain.ranking import Candidate

Vector: TypeAlias = "NDArray[np.float32]"
Scope_contra = TypeVar("Scope_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class ScoredId:
    """One row that a leg found; `score` is larger for better, and a cosine in the vector leg."""

    id: str
    score: float


class TextRetriever(Protocol[Scope_contra]):
    """The text leg."""

    async def search_text(self, query: str, scope: Scope_contra, limit: int) -> Sequence[ScoredId]:
        """Rows in scope that hold any word of `query`, best first; scores above 0."""
        ...


class VectorRetriever(Protocol[Scope_contra]):
    """The vector leg."""

    async def search_vector(
        self, vector: Vector, scope: Scope_contra, limit: int
    ) -> Sequence[ScoredId]:
        """Rows in scope nearest to `vector`, best first; scores are cosines."""
        ...


class QueryEmbedder(Protocol):
    """Turns a question into a vector, never waiting behind the backlog of documents."""

    async def embed_query(self, text: str) -> Vector:
        """A unit vector.

        Raises:
            BackendError: the backend answered badly or not at all.
            FeatureMissingError: there is no backend now.
        """
        ...


class Fetcher(Protocol):
    """Reads the rows that the legs found."""

    async def candidates(
        self, ids: Sequence[str], vector: Vector | None, query: str | None
    ) -> Sequence[Candidate]:
        """Ranking's fields of the rows that still exist, in any order, `text_score` None.

        With a vector, `cosine` is filled for every row that has a stored one of the same model.
        With a query, `coverage` is: 0..1, how much of it the row's words hold, by weight.
        """
        ...

    async def texts(self, ids: Sequence[str]) -> Mapping[str, str]:
        """What a budget counts of each row."""
        ...

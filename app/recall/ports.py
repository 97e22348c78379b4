"""What recall needs of a store and of an embedder, in recall's own words.

`Scope` is whatever the caller's service made of namespace, tags, dates, kinds, citations and
visibility. Recall hands it through untouched: each read filters by it BEFORE its limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from app.domain.recalled import Choose, Chosen, WordHits

Vector: TypeAlias = "NDArray[np.float32]"
Scope_contra = TypeVar("Scope_contra", contravariant=True)


class RecallReader(Protocol[Scope_contra]):
    """Reads a store, twice a recall."""

    async def search_words(
        self, query: str, scope: Scope_contra, limit: int, *, covers: bool
    ) -> WordHits:
        """The best rows in scope that hold any word of `query`.

        `covers`: how much each row holds of the question will count beside vectors.
        """
        ...

    async def best(
        self,
        words: WordHits,
        vector: Vector | None,
        scope: Scope_contra,
        limit: int,
        choose: Choose,
    ) -> Chosen:
        """The rows that `choose` picks from the hits and, with a vector, the `limit` nearest.

        Nearest are rows in scope with a cosine above `COSINE_FLOOR`. With a vector, `cosine` is
        filled for every row that has a stored one of the same model; `coverage` (0..1, by weight)
        if it was announced to `search_words`.
        """
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

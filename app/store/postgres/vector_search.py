"""The vector leg on PostgreSQL: pgvector's graph, or every row of a narrow filter compared.

The graph knows nothing of filters: it offers rows from the nearest on, and those that the filter
refuses are lost effort, or lost answers once it has offered its most. So rows that are few are
compared one by one, which is exact as well; the planner's own estimate tells how few they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from app.store.postgres.fragments import fragment, rows
from app.store.protocol import ScoredId

if TYPE_CHECKING:
    import numpy as np
    import psycopg
    from numpy.typing import NDArray

    from app.store.postgres.fragments import Fragment

# Comparing takes about 4 µs a row here, a search of the graph for fifty rows 6 ms.
_COMPARED_MAX: Final = 5_000
# A search that came back short has walked as far as this; then the rest is compared after all.
_OFFERED_MAX: Final = 20_000
_COLUMN_DIM: Final = (
    "SELECT atttypmod FROM pg_attribute"
    " WHERE attrelid = 'memories'::regclass AND attname = 'embedding'"
)
_OTHERS: Final = (
    "SELECT EXISTS (SELECT 1 FROM memory_vectors WHERE model < %s)"
    " OR EXISTS (SELECT 1 FROM memory_vectors WHERE model > %s),"
    " set_config('hnsw.ef_search', %s, true),"
    " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
    " set_config('hnsw.max_scan_tuples', %s, true)"
)
# Only where another model's vectors are about: else every row's would have to be looked at.
_OF_MODEL: Final = (
    " AND EXISTS (SELECT 1 FROM memory_vectors AS v"
    " WHERE v.memory_id = memories.id AND v.model = %s)"
)
_EF_SEARCH_MIN: Final = 200
_EF_SEARCH_A_HIT: Final = 4
_EF_SEARCH_MAX: Final = 1_000  # pgvector's own bound


class VectorLeg:
    """Vectors of one model. Where the column is of another length than `dim`, there are none."""

    def __init__(self, model: str, dim: int) -> None:
        self._model = model
        self._dim = dim
        self._column_dim: int | None = None

    def asked(
        self, connection: psycopg.Connection, vector: NDArray[np.float32], limit: int = 0
    ) -> Asked | None:
        """A question's vector in one transaction; None where the column has no such vectors.

        `limit` is the most that will be searched for.
        """
        if len(vector) != self._dim or not self._fits(connection):
            return None
        width = min(max(_EF_SEARCH_A_HIT * limit, _EF_SEARCH_MIN), _EF_SEARCH_MAX)
        # One look at what all that follows hangs on, and what the graph needs to know beforehand.
        looked = fragment(_OTHERS, self._model, self._model, str(width), str(_OFFERED_MAX))
        has_others = rows(connection, looked)[0][0]
        of_model = fragment(_OF_MODEL, self._model) if has_others else fragment("")
        return Asked(connection, literal(vector), of_model)

    def _fits(self, connection: psycopg.Connection) -> bool:
        """Whether the column holds vectors of this length: it has one for all rows."""
        if self._column_dim is None:
            self._column_dim = rows(connection, fragment(_COLUMN_DIM))[0][0]
        return self._column_dim == self._dim


@dataclass(frozen=True, slots=True)
class Asked:
    """A question's vector, as text. `of_model` lets through the rows of our model."""

    connection: psycopg.Connection
    vector: str
    of_model: Fragment

    def search(self, condition: Fragment, limit: int) -> list[ScoredId]:
        """The nearest rows that the condition over `memories` lets through, best first."""
        if limit <= 0:
            return []
        let_through = condition + self.of_model
        if _estimated_rows(self.connection, let_through) <= _COMPARED_MAX:
            return self._compared(let_through, limit)
        found = self._offered(let_through, limit)
        return found if len(found) == limit else self._compared(let_through, limit)

    def cosine(self) -> Fragment:
        """What a select of `memories` gives as a row's cosine: NULL where it has no vector."""
        cosine = fragment("nullif(1 - (embedding <=> %s::vector), 'NaN')", self.vector)
        if not self.of_model.text:
            return cosine
        return (
            fragment("CASE WHEN true") + self.of_model + fragment(" THEN ") + cosine
        ) + fragment(" END")

    def _compared(self, condition: Fragment, limit: int) -> list[ScoredId]:
        """Exact: every row that is let through."""
        statement = (
            fragment("WITH near AS MATERIALIZED (SELECT id, embedding <=> %s::vector", self.vector)
            + fragment(" AS distance FROM memories WHERE embedding IS NOT NULL AND ")
            + condition
            + fragment(") SELECT id, 1 - distance FROM near WHERE distance <> 'NaN'")
            + fragment(" ORDER BY distance, id LIMIT %s", limit)
        )
        return [ScoredId(one, cosine) for one, cosine in rows(self.connection, statement)]

    def _offered(self, condition: Fragment, limit: int) -> list[ScoredId]:
        """From the graph, which goes on until enough rows were let through."""
        statement = (
            fragment("SELECT id, 1 - (embedding <=> %s::vector)", self.vector)
            + fragment(" FROM memories WHERE ")
            + condition
            + fragment(" ORDER BY embedding <=> %s::vector LIMIT %s", self.vector, limit)
        )
        hits = [ScoredId(one, cosine) for one, cosine in rows(self.connection, statement)]
        # A relaxed order is nearly one.
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def literal(vector: NDArray[np.float32]) -> str:
    """A vector as pgvector reads it."""
    return msgspec.json.encode(vector.tolist()).decode()


def _estimated_rows(connection: psycopg.Connection, condition: Fragment) -> float:
    """What the planner expects the condition to let through."""
    plan = rows(
        connection,
        fragment("EXPLAIN (FORMAT JSON) SELECT 1 FROM memories WHERE ") + condition,
    )[0][0]
    whole = json.loads(plan) if isinstance(plan, str) else plan
    return float(whole[0]["Plan"]["Plan Rows"])

"""The vector leg on PostgreSQL: pgvector's graph, or every row of a narrow filter compared.

The graph knows nothing of filters: it offers rows from the nearest on, and those that the filter
refuses are lost effort, or lost answers once it has offered its most. So rows that are few are
compared one by one, which is exact as well; the planner's own estimate tells how few they are.
"""

from __future__ import annotations

import json
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
_EF_SEARCH_MIN: Final = 200
_EF_SEARCH_A_HIT: Final = 4
_EF_SEARCH_MAX: Final = 1_000  # pgvector's own bound


class VectorLeg:
    """Searches vectors of one model. Where the column is of another length than `dim`, none."""

    def __init__(self, model: str, dim: int) -> None:
        self._model = model
        self._dim = dim
        self._column_dim: int | None = None

    def search(
        self,
        connection: psycopg.Connection,
        vector: NDArray[np.float32],
        condition: Fragment,
        limit: int,
    ) -> list[ScoredId]:
        """The nearest rows that the condition over `memories` lets through, best first."""
        if limit <= 0 or len(vector) != self._dim or not self._fits(connection):
            return []
        let_through = condition + self._of_model(connection)
        if _estimated_rows(connection, let_through) <= _COMPARED_MAX:
            return _compared(connection, vector, let_through, limit)
        found = _offered(connection, vector, let_through, limit)
        if len(found) < limit:
            return _compared(connection, vector, let_through, limit)
        return found

    def cosine(self, connection: psycopg.Connection, vector: NDArray[np.float32]) -> Fragment:
        """What a select of `memories` gives as a row's cosine: NULL where it has no vector."""
        if len(vector) != self._dim or not self._fits(connection):
            return fragment("NULL")
        cosine = fragment("nullif(1 - (embedding <=> %s::vector), 'NaN')", literal(vector))
        of_model = self._of_model(connection)
        if not of_model.text:
            return cosine
        return (
            fragment("CASE WHEN true") + of_model + fragment(" THEN ") + cosine + fragment(" END")
        )

    def _fits(self, connection: psycopg.Connection) -> bool:
        """Whether the column holds vectors of this length: it has one for all rows."""
        if self._column_dim is None:
            self._column_dim = rows(connection, fragment(_COLUMN_DIM))[0][0]
        return self._column_dim == self._dim

    def _of_model(self, connection: psycopg.Connection) -> Fragment:
        """Nothing where all vectors are of this model; else a look at each row's."""
        others = rows(
            connection,
            fragment(
                "SELECT EXISTS (SELECT 1 FROM memory_vectors WHERE model < %s)"
                " OR EXISTS (SELECT 1 FROM memory_vectors WHERE model > %s)",
                self._model,
                self._model,
            ),
        )
        if not others[0][0]:
            return fragment("")
        return fragment(
            " AND EXISTS (SELECT 1 FROM memory_vectors AS v"
            " WHERE v.memory_id = memories.id AND v.model = %s)",
            self._model,
        )


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


def _compared(
    connection: psycopg.Connection,
    vector: NDArray[np.float32],
    condition: Fragment,
    limit: int,
) -> list[ScoredId]:
    """Exact: every row that is let through."""
    statement = (
        fragment("WITH near AS MATERIALIZED (SELECT id, embedding <=> %s::vector", literal(vector))
        + fragment(" AS distance FROM memories WHERE embedding IS NOT NULL AND ")
        + condition
        + fragment(") SELECT id, 1 - distance FROM near WHERE distance <> 'NaN'")
        + fragment(" ORDER BY distance, id LIMIT %s", limit)
    )
    return [ScoredId(one, cosine) for one, cosine in rows(connection, statement)]


def _offered(
    connection: psycopg.Connection,
    vector: NDArray[np.float32],
    condition: Fragment,
    limit: int,
) -> list[ScoredId]:
    """From the graph, which goes on until enough rows were let through."""
    width = min(max(_EF_SEARCH_A_HIT * limit, _EF_SEARCH_MIN), _EF_SEARCH_MAX)
    connection.execute(
        "SELECT set_config('hnsw.ef_search', %s, true),"
        " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
        " set_config('hnsw.max_scan_tuples', %s, true)",
        [str(width), str(_OFFERED_MAX)],
    )
    text = literal(vector)
    statement = (
        fragment("SELECT id, 1 - (embedding <=> %s::vector) FROM memories WHERE ", text)
        + condition
        + fragment(" ORDER BY embedding <=> %s::vector LIMIT %s", text, limit)
    )
    found = rows(connection, statement)
    hits = [ScoredId(one, cosine) for one, cosine in found]
    # A relaxed order is nearly one.
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))

"""Which live memories lack a vector: asked of the tables, because other nodes write them, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.text import content_hash
from app.store.postgres.fragments import fragment, rows
from app.store.protocol import Unembedded

if TYPE_CHECKING:
    import psycopg

# The write that changes a text takes the row's vector away, so none is stale.
_WITHOUT: Final = (
    "SELECT id, title, content FROM memories WHERE embedding_dim IS NULL"
    " ORDER BY created_at, id LIMIT %s"
)
# Two ranges instead of one inequality, so that the index serves them.
_OF_OTHER_MODELS: Final = (
    "SELECT m.id, m.title, m.content FROM ("
    "SELECT memory_id FROM memory_vectors WHERE model < %s"
    " UNION ALL SELECT memory_id FROM memory_vectors WHERE model > %s) AS v"
    " JOIN memories AS m ON m.id = v.memory_id WHERE m.embedding_dim IS NOT NULL"
    " ORDER BY m.created_at, m.id LIMIT %s"
)


def unembedded(connection: psycopg.Connection, model: str, limit: int) -> list[Unembedded]:
    """Up to `limit`: first those without any vector, then those with another model's."""
    found = list(rows(connection, fragment(_WITHOUT, limit)))
    if len(found) < limit:
        others = fragment(_OF_OTHER_MODELS, model, model, limit - len(found))
        found.extend(rows(connection, others))
    return [
        Unembedded(one, content_hash(title, content), f"{title} {content}")
        for one, title, content in found
    ]


def waiting(connection: psycopg.Connection, model: str, now: str | None) -> int:
    """How many there are; with a time, only those that have not expired by then."""
    statement = fragment(
        "SELECT count(*) FROM memories WHERE (embedding_dim IS NULL OR id IN ("
        "SELECT memory_id FROM memory_vectors WHERE model < %s"
        " UNION ALL SELECT memory_id FROM memory_vectors WHERE model > %s))",
        model,
        model,
    )
    if now is not None:
        statement += fragment(" AND (expires_at IS NULL OR expires_at > %s::timestamptz)", now)
    return int(rows(connection, statement)[0][0])

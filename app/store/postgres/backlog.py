"""Which live memories lack a vector: asked of the tables, because other nodes write them, too."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from app.store.postgres.fragments import fragment, rows
from app.store.postgres.statements import key_back
from app.store.writing.unembedded import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from app.store.postgres.fragments import Fragment
    from app.store.protocol import Accepts, Unembedded

# The write that changes a text takes the row's vector away, so none is stale.
_WITHOUT: Final = (
    "SELECT m.id, m.created_at, s.state FROM memories AS m JOIN memory_state AS s ON s.id = m.id"
    " WHERE m.embedding_dim IS NULL AND (m.created_at, m.id) > (%s::timestamptz, %s)"
    " ORDER BY m.created_at, m.id LIMIT %s"
)
# Two ranges instead of one inequality, so that the index serves them.
_OF_OTHER_MODELS: Final = (
    "SELECT m.id, m.created_at, s.state FROM ("
    "SELECT memory_id FROM memory_vectors WHERE model < %s"
    " UNION ALL SELECT memory_id FROM memory_vectors WHERE model > %s) AS v"
    " JOIN memories AS m ON m.id = v.memory_id JOIN memory_state AS s ON s.id = m.id"
    " WHERE m.embedding_dim IS NOT NULL AND (m.created_at, m.id) > (%s::timestamptz, %s)"
    " ORDER BY m.created_at, m.id LIMIT %s"
)
_PAGE: Final = 500


def unembedded(
    connection: psycopg.Connection, model: str, limit: int, accepts: Accepts | None
) -> list[Unembedded]:
    """Up to `limit`: first those without any vector, then those with another model's."""
    page = limit if accepts is None else max(limit, _PAGE)
    every = chain(
        _pages(connection, fragment(_WITHOUT), page),
        _pages(connection, fragment(_OF_OTHER_MODELS, model, model), page),
    )
    wanted = (one for one in every if accepts is None or accepts(one.memory_id, one.origin))
    return list(islice(wanted, limit))


def _pages(connection: psycopg.Connection, asked: Fragment, size: int) -> Iterator[Unembedded]:
    after = ("-infinity", "")
    while found := rows(connection, asked + fragment("", *after, size)):
        yield from filter(None, (text_of(key_back(one), state) for one, _, state in found))
        if len(found) < size:
            return
        after = (found[-1][1], found[-1][0])


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

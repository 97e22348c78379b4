"""Rows with a word in their title: advice beside a write, so it must cost next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.memory import SCOPES
from app.store.postgres.fragments import fragment, rows
from app.store.postgres.lexemes import TITLE, one_of
from app.store.protocol import TitledId
from app.store.text.analysis import own_analysis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from app.store.sql.filters import Viewer

_ROWS_A_WORD_MAX: Final = 20
# Rows that hold a word anywhere: so many are looked at, of a common word not the newest.
_LOOKED_AT_MAX: Final = 500
_TITLED: Final = (
    "WITH held AS MATERIALIZED (SELECT id, title, search, created_at FROM memories"
    " WHERE search @@ %s::tsquery AND namespace = %s"
    " AND (expires_at IS NULL OR expires_at > %s::timestamptz)"
    " AND (%s OR scope_idx = ANY (%s) OR agent_id_idx = %s) LIMIT %s)"
    " SELECT id, title FROM held WHERE search @@ %s::tsquery ORDER BY created_at DESC, id LIMIT %s"
)


def titled_like(
    connection: psycopg.Connection, words: Sequence[str], viewer: Viewer, namespace: str, now: str
) -> list[TitledId]:
    """Some newest rows of a namespace whose title holds one of the words and that are seen."""
    found: dict[str, str] = {}
    seen_by = (viewer.sees_everything, list(SCOPES[1:]), viewer.agent_id)
    for word in words:
        terms = own_analysis().terms(word)
        if not terms:
            continue
        anywhere = " <-> ".join(map(one_of, terms))
        in_title = " <-> ".join(one_of(term, TITLE) for term in terms)
        statement = fragment(
            _TITLED,
            *(anywhere, namespace, now, *seen_by, _LOOKED_AT_MAX),
            *(in_title, _ROWS_A_WORD_MAX),
        )
        found.update(rows(connection, statement))
    return [TitledId(memory_id, title) for memory_id, title in found.items()]

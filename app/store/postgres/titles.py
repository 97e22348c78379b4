"""Rows with a word in their title: advice beside a write, so it must cost next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.memory import SCOPES
from app.store.postgres.fragments import fragment, rows
from app.store.postgres.lexemes import one_of
from app.store.protocol import TitledId
from app.store.text.analysis import own_analysis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from app.store.sql.filters import Viewer

_ROWS_A_WORD_MAX: Final = 20
# As it stands in the index of titles. The newest rows are walked where many titles hold the word.
_TITLED: Final = (
    "SELECT id, title FROM memories WHERE ts_filter(search, '{a}') @@ %s::tsquery"
    " AND namespace = %s AND (expires_at IS NULL OR expires_at > %s::timestamptz)"
    " AND (%s OR scope_idx = ANY (%s) OR agent_id_idx = %s)"
    " ORDER BY created_at DESC, id LIMIT %s"
)


def titled_like(
    connection: psycopg.Connection, words: Sequence[str], viewer: Viewer, namespace: str, now: str
) -> list[TitledId]:
    """The newest rows of a namespace whose title holds one of the words and that are seen."""
    found: dict[str, str] = {}
    seen_by = (viewer.sees_everything, list(SCOPES[1:]), viewer.agent_id)
    for word in words:
        terms = own_analysis().terms(word)
        if not terms:
            continue
        in_title = " <-> ".join(map(one_of, terms))
        statement = fragment(_TITLED, in_title, namespace, now, *seen_by, _ROWS_A_WORD_MAX)
        found.update(rows(connection, statement))
    return [TitledId(memory_id, title) for memory_id, title in found.items()]

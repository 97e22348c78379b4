"""Rows with a word in their title: advice beside a write, so it must cost next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.domain.memory import SCOPES
from app.domain.text import quoted
from app.store.protocol import TitledId

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

    from app.store.sql.filters import Viewer

_ROWS_A_WORD_MAX: Final = 20
_OPEN_SCOPES: Final = ", ".join(f"'{scope}'" for scope in SCOPES[1:])
# The newest matches only, whatever the word's frequency: no ranking, nothing read twice. The cross
# join keeps them outermost; the planner would scan the namespace.
TITLED: Final = (
    "SELECT memories.id, memories.title FROM"  # noqa: S608 - own constants
    f" (SELECT rowid FROM memories_fts WHERE memories_fts MATCH ? ORDER BY rowid DESC"
    f" LIMIT {_ROWS_A_WORD_MAX}) AS hit CROSS JOIN memories ON memories.rowid = hit.rowid"
    " WHERE memories.namespace = ? AND (memories.expires_at IS NULL OR memories.expires_at > ?)"
    f" AND (? OR memories.scope_idx IN ({_OPEN_SCOPES}) OR memories.agent_id_idx = ?)"
)


def titled_like(
    connection: apsw.Connection, words: Sequence[str], viewer: Viewer, namespace: str, now: str
) -> list[TitledId]:
    """Some newest rows of a namespace whose title holds one of the words and that are seen."""
    found: dict[str, str] = {}
    for word in words:
        rows = connection.execute(
            TITLED,
            (f"title : {quoted(word)}", namespace, now, viewer.sees_everything, viewer.agent_id),
        )
        found.update((cast("str", memory_id), cast("str", title)) for memory_id, title in rows)
    return [TitledId(memory_id, title) for memory_id, title in found.items()]

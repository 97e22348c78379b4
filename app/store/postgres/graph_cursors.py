"""How far Apache AGE's graph has come with each origin's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.store.writing.port import Reader

# An entry that was put aside is shown once it is let in, so it and what follows is kept till then.
_FOLLOWED: Final = Query(
    "SELECT o.origin, least(coalesce(c.seq, 0), coalesce("
    "(SELECT min(w.seq) - 1 FROM graph_waiting AS w WHERE w.origin = o.origin), o.head_seq))"
    " FROM log_origins AS o LEFT JOIN graph_cursors AS c USING (origin_no)"
)


def followed(reader: Reader) -> Mapping[str, int]:
    """Origin → up to which number the graph needs no entry any more."""
    return dict(cast("list[tuple[str, int]]", reader.read(_FOLLOWED, ())))

"""A question's words as the text index sees them: folded and stemmed by its own tokenizer."""

from __future__ import annotations

import functools
import re
import shlex
from typing import TYPE_CHECKING, Final

from app.store.text.analysis import Analysis

if TYPE_CHECKING:
    import apsw

_TOKENIZE: Final = re.compile(r"tokenize\s*=\s*(?:'([^']*)'|\"([^\"]*)\")", re.IGNORECASE)
_FTS5_DEFAULT: Final = ("unicode61",)


class Analyser(Analysis):
    """The tokenizer that `memories_fts` was declared with, whichever that is.

    A database file made by v0.7.0 may still carry another tokenizer than ours.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        row = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'memories_fts'"
        ).fetchone()
        super().__init__(connection, _declared(str(row[0]) if row else ""))


@functools.lru_cache(maxsize=4)
def _declared(table_sql: str) -> tuple[str, ...]:
    match = _TOKENIZE.search(table_sql)
    return tuple(shlex.split(match.group(1) or match.group(2))) if match else _FTS5_DEFAULT

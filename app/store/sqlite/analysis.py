"""A question's words as the text index sees them: folded and stemmed by its own tokenizer."""

from __future__ import annotations

import functools
import re
import shlex
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKENIZE: Final = re.compile(r"tokenize\s*=\s*(?:'([^']*)'|\"([^\"]*)\")", re.IGNORECASE)
_FTS5_DEFAULT: Final = ("unicode61",)


class Analyser:
    """The tokenizer that `memories_fts` was declared with, whichever that is.

    A database file made by v0.7.0 may still carry another tokenizer than ours.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        row = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = 'memories_fts'"
        ).fetchone()
        name, *arguments = _declared(str(row[0]) if row else "")
        self._tokenizer = connection.fts5_tokenizer(name, arguments)

    def terms(self, text: str) -> tuple[str, ...]:
        """What the index holds for `text`, in order; empty when it holds nothing for it."""
        found = self._tokenizer(
            text.encode(errors="replace"), apsw.FTS5_TOKENIZE_QUERY, None, include_offsets=False
        )
        return tuple(str(variants[0]) for variants in found)

    def distinct(self, words: Iterable[str]) -> dict[str, str]:
        """Term to the first of `words` that has it: "file" and "files" are asked once."""
        by_term: dict[str, str] = {}
        for word in words:
            terms = self.terms(word)
            if terms:
                by_term.setdefault(" ".join(terms), word)
        return by_term


@functools.lru_cache(maxsize=4)
def _declared(table_sql: str) -> tuple[str, ...]:
    match = _TOKENIZE.search(table_sql)
    return tuple(shlex.split(match.group(1) or match.group(2))) if match else _FTS5_DEFAULT

"""Terms of a text: folded and stemmed by FTS5's tokenizer, whichever store holds them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, cast

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKENIZER: Final = ("porter", "unicode61", "remove_diacritics", "2")
"""The analysis of every index that we make; the table of SQLite is declared with it, too."""


class Analysis:
    """One tokenizer. Use it in the thread that made it."""

    def __init__(self, connection: apsw.Connection, tokenizer: Iterable[str]) -> None:
        name, *arguments = tokenizer
        self._tokenizer = connection.fts5_tokenizer(name, arguments)

    def terms(self, text: str) -> tuple[str, ...]:
        """What an index holds for `text`, in order; empty when it holds nothing for it."""
        found = self._tokenizer(
            text.encode(errors="replace"),
            apsw.FTS5_TOKENIZE_QUERY,
            None,
            include_offsets=False,
            include_colocated=False,
        )
        return cast("tuple[str, ...]", tuple(found))

    def distinct(self, words: Iterable[str]) -> dict[str, str]:
        """Term to the first of `words` that has it: "file" and "files" are asked once."""
        by_term: dict[str, str] = {}
        for word in words:
            terms = self.terms(word)
            if terms:
                by_term.setdefault(" ".join(terms), word)
        return by_term


class _OfThread(threading.local):
    """A tokenizer belongs to a connection, and a connection to one thread at a time."""

    def __init__(self) -> None:
        self.analysis = Analysis(apsw.Connection(":memory:"), TOKENIZER)


_OF_THREAD: Final = _OfThread()


def own_analysis() -> Analysis:
    """Our analysis, without a database file; the calling thread's own."""
    return _OF_THREAD.analysis

"""A question's words as the text index knows them, read once for all that is asked about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.text import parse_query
from app.store.sqlite.analysis import Analyser

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

    from app.store.sqlite.common_words import CommonWords, View


@dataclass(frozen=True, slots=True)
class AskedWords:
    """Words of one question that are no function words, by index term.

    `view`: the arrays of the common ones among them; None where none is common.
    """

    words: Mapping[str, str]
    view: View | None
    analyser: Analyser


def read_words(
    connection: apsw.Connection, query: str, common_words: CommonWords | None = None
) -> AskedWords:
    """The words of a question."""
    analyser = Analyser(connection)
    words = analyser.distinct(parse_query(query).content_words)
    view = common_words.view(connection, words) if common_words else None
    return AskedWords(words, view, analyser)

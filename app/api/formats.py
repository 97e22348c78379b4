"""The forms of an answer with memories: JSON, or a table (http-api 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from litestar import Response

from app.domain.errors import InvalidInputError
from app.domain.toon import FORMATS, Row, render

JSON: Final = "json"
_TABLE: Final = "text/plain"  # the framework adds the charset
_COMPACT: Final = "toon_compact"


def chosen_format(word: str | None) -> str:
    """JSON unless something else is asked for; called before any work.

    Raises:
        InvalidInputError: no form that we speak.
    """
    chosen = word or JSON
    if chosen not in FORMATS:
        raise InvalidInputError(
            f"invalid format '{chosen}' — must be one of: {', '.join(FORMATS)}", fields=["format"]
        )
    return chosen


def toon_response(
    rows: Sequence[Row], head: Mapping[str, str | int | None], form: str
) -> Response[str]:
    """The rows as a table, counted in its first line."""
    text = render(rows, {"count": len(rows), **head}, compact=form == _COMPACT)
    return Response(text, media_type=_TABLE)

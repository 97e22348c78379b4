"""What a client has seen, as text that it hands from one request to the next.

Whoever writes gets such a token; a read that carries it shows at least what it names. Clients take
it for opaque: today it names the write's own entry, and may name more of them.
"""

from __future__ import annotations

import re
from typing import Final

from app.log.cursor import VectorClock
from app.log.epochs import parse_origin

ENTRIES_MAX: Final = 32
_VERSION: Final = "v1"
_TEXT_CHARACTERS_MAX: Final = 1_500
_ENTRY: Final = re.compile(r"([0-9a-f.]{1,64})\.([1-9][0-9]{0,17})")


def token_of(seen: VectorClock) -> str:
    """A clock of at most `ENTRIES_MAX` nodes' origins as text, fit for a header."""
    return ":".join([_VERSION, *(f"{origin}.{seq}" for origin, seq in seen.as_dict().items())])


def read_token(text: str) -> VectorClock | None:
    """The inverse of `token_of`; None for what this version cannot read."""
    if len(text) > _TEXT_CHARACTERS_MAX:
        return None
    version, *entries = text.strip().split(":")
    if version != _VERSION or len(entries) > ENTRIES_MAX:
        return None
    heads = dict(filter(None, map(_entry, entries)))
    return VectorClock(heads) if len(heads) == len(entries) else None


def _entry(text: str) -> tuple[str, int] | None:
    found = _ENTRY.fullmatch(text)
    if found is None or parse_origin(found[1]) is None:
        return None
    return found[1], int(found[2])

"""Reading what options say: lists, JSON, tiers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.domain.errors import InvalidInputError
from app.domain.memory import TIERS_BY_RANK

if TYPE_CHECKING:
    from app.domain.memory import Json


def split_words(text: str) -> tuple[str, ...]:
    """The parts between commas, trimmed, without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check_tier(word: str | None) -> None:
    """Let nothing or a tier pass.

    Raises:
        InvalidInputError: another word; the message lists the tiers.
    """
    if word is not None and word not in TIERS_BY_RANK:
        raise InvalidInputError(f"invalid tier: {word} (use {', '.join(TIERS_BY_RANK)})")


def json_word(option: str, text: str | None) -> Json:
    """The value that an option gives as JSON.

    Raises:
        InvalidInputError: it is not JSON.
    """
    if text is None:
        return None
    try:
        value: Json = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{option} is not JSON: {error}") from error
    return value

"""Limits and cursors of pages (http-api 1.8, 7.2 row 23)."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from app.domain.errors import InvalidInputError
from app.store.sql.memories import ListPosition

T = TypeVar("T")

OFFSET_MAX = (1 << 53) - 1
"""Beyond any page, and still a number to both databases."""


def clamped(limit: int, page_max: int | None) -> int:
    """Over-large limits are cut, never refused; below 0 there is nothing to show."""
    if limit < 0:
        raise InvalidInputError(f"limit must not be negative (got {limit})", fields=["limit"])
    return min(limit, OFFSET_MAX if page_max is None else page_max)


def offset_of(offset: int) -> int:
    if offset < 0:
        raise InvalidInputError(f"offset must not be negative (got {offset})", fields=["offset"])
    return min(offset, OFFSET_MAX)


def encode_cursor(value: object) -> str:
    """Opaque to clients."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def decode_cursor(text: str | None, wanted: type[T]) -> T | None:
    """What `encode_cursor` was given.

    Raises:
        InvalidInputError: no cursor of this list.
    """
    if not text:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=wanted)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidInputError("invalid cursor", fields=["cursor"]) from error


def offset_cursor(offset: int, shown: int, total: int) -> str | None:
    """For lists whose order is a score: where the next page starts, None after the last."""
    following = offset + shown
    return encode_cursor(following) if shown and following < total else None


def list_cursor(following: ListPosition | None) -> str | None:
    """For lists by priority and recency."""
    return None if following is None else encode_cursor(following)

"""Values as SQLite's `json_each` takes them."""

from __future__ import annotations

from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()


def json_array(values: object) -> str:
    """A JSON array, for `json_each`."""
    return _ENCODER.encode(values).decode()

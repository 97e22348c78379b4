"""Deterministic bytes: CBOR by RFC 8949 section 4.2.1.

All maps here have text keys only, for which cbor2's key order (shorter first)
is the bytewise order of the encoded keys that the RFC asks for.
"""

from __future__ import annotations

from io import BytesIO
from typing import TypeAlias, cast

import cbor2

Value: TypeAlias = "None | bool | int | float | str | bytes | list[Value] | dict[str, Value]"


class CanonicalError(ValueError):
    """The bytes are not one well-formed CBOR item."""


def encode(value: Value) -> bytes:
    """`value` in its one canonical form."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes) -> Value:
    """One CBOR item.

    Raises:
        CanonicalError: malformed, truncated, or followed by more bytes.
    """
    stream = BytesIO(data)
    try:
        value = cast("Value", cbor2.CBORDecoder(stream).decode())
    except (cbor2.CBORDecodeError, ValueError, OverflowError, RecursionError) as error:
        raise CanonicalError(str(error)) from error
    if stream.read(1):
        message = "bytes follow the item"
        raise CanonicalError(message)
    return value

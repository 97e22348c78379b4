"""Columns of rows as arrays in the server's binary form.

The driver can make arrays of lists. It looks at every element for its type, though, which takes it
a fifth of what a batch computes; here the column says what its values are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.adapt import Dumper
from psycopg.postgres import types
from psycopg.pq import Format
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.abc import Buffer, DumperKey

# src/backend/utils/adt/arrayfuncs.c, array_send: how many dimensions, whether there are NULLs, the
# elements' type; of the dimension its length and first number; of an element its length and bytes.
_HEAD: Final = struct.Struct(">iiIii")
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)


@dataclass(frozen=True, slots=True)
class Array:
    """An array of one dimension. `oid` is the array type's."""

    oid: int
    data: bytes


def array_of(kind: str, values: Sequence[object]) -> Array:
    """Values for a column of an SQL type; for a type not known here texts, which the server casts.

    Raises:
        psycopg.DataError: a number does not fit its type.
    """
    name, pack = _KINDS.get(kind, _KINDS["TEXT"])
    try:
        packed = [_NULL if value is None else pack(value) for value in values]
    except struct.error as error:
        raise psycopg.DataError(f"{kind} out of range") from error
    of = types[name]
    head = _HEAD.pack(1, _NULL in packed, of.oid, len(values), 1)
    return Array(of.array_oid, b"".join((head, *packed)))


class ArrayDumper(Dumper):
    """Hands an array over as it is."""

    format = Format.BINARY

    @override
    def get_key(self, obj: Array, format: Any) -> DumperKey:
        return (self.cls, obj.oid)  # type: ignore[return-value]  # any key that tells types apart

    @override
    def upgrade(self, obj: Array, format: Any) -> ArrayDumper:
        found = type(self)(self.cls)
        found.oid = obj.oid
        return found

    @override
    def dump(self, obj: Array) -> Buffer:
        return obj.data


def _text(value: str) -> bytes:
    return _bytes(value.encode())


def _bytes(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _fixed(code: str) -> Callable[[Any], bytes]:
    """Values of one length, by their code in `struct`."""
    length = struct.calcsize(f">{code}")
    pack = struct.Struct(f">i{code}").pack
    return lambda value: pack(length, value)


_KINDS: Final[dict[str, tuple[str, Callable[[Any], bytes]]]] = {
    "TEXT": ("text", _text),
    "BYTEA": ("bytea", _bytes),
    "INTEGER": ("int4", _fixed("i")),
    "BIGINT": ("int8", _fixed("q")),
    "DOUBLE PRECISION": ("float8", _fixed("d")),
    "BOOLEAN": ("bool", _fixed("?")),
    "tsvector": ("tsvector", _bytes),
}

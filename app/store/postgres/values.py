"""Values as they come from the driver: text, bytes and numbers, as SQLite gives them.

So one reading of rows serves both stores. Timestamps rely on `TimeZone = 'UTC'`, which every
transaction sets.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from psycopg.adapt import Loader
from typing_extensions import override

from app.store.postgres.arrays import Array, ArrayDumper

if TYPE_CHECKING:
    import psycopg
    from psycopg.abc import Buffer

_MICROSECONDS: Final = 6


class TimestampLoader(Loader):
    """`2026-06-01 12:00:00.5+00` as `2026-06-01T12:00:00.500000+00:00`."""

    @override
    def load(self, data: Buffer) -> str:
        text = bytes(data).decode("ascii")
        moment, zone = text[:-3], text[-3:]
        if zone != "+00":
            msg = f"a timestamp that is not in UTC: {text}"
            raise ValueError(msg)
        whole, _, fraction = moment.partition(".")
        day, _, time = whole.partition(" ")
        return f"{day}T{time}.{fraction.ljust(_MICROSECONDS, '0')}+00:00"


class JsonLoader(Loader):
    """JSON as compact text; PostgreSQL puts spaces into it."""

    @override
    def load(self, data: Buffer) -> str:
        return json.dumps(json.loads(bytes(data)), ensure_ascii=False, separators=(",", ":"))


class FlagLoader(Loader):
    """A boolean as 0 or 1."""

    @override
    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


def register_values(connection: psycopg.Connection) -> None:
    """Make a connection give values in our form, and take them."""
    adapters = connection.adapters
    adapters.register_dumper(Array, ArrayDumper)
    adapters.register_loader("timestamptz", TimestampLoader)
    adapters.register_loader("jsonb", JsonLoader)
    adapters.register_loader("bool", FlagLoader)

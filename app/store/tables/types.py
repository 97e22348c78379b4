"""Column types whose storage differs between SQLite and PostgreSQL.

On the Python side a value is always what SQLite stores (text, bytes, integers), so that a statement
compiled to driver text and run without SQLAlchemy's value conversion reads and writes the same.
"""

import json
import struct
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import BigInteger, Boolean, Computed, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB, TIMESTAMP
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import REAL, TypeDecorator, TypeEngine, UserDefinedType
from typing_extensions import override

POSTGRESQL_EMBEDDING_DIMENSIONS: Final = 384
LITTLE_ENDIAN_HEADER: Final = b"\x01"
_FLOAT_BYTES: Final = 4

COUNTER = BigInteger().with_variant(Integer(), "sqlite")
"""Whole numbers: INTEGER on SQLite (also what a rowid key needs), BIGINT on PostgreSQL."""

SCORE: Final[TypeEngine[float]] = REAL().with_variant(DOUBLE_PRECISION(), "postgresql")
FLAG = Boolean(create_constraint=False).with_variant(Integer(), "sqlite")


class Timestamp(TypeDecorator[str]):
    """RFC 3339 text in UTC with six digits and `+00:00`; TIMESTAMPTZ on PostgreSQL.

    SQLite compares such texts as strings, which is why there is one form only.
    """

    impl = Text
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        if dialect.name == "postgresql":
            aware = TIMESTAMP(timezone=True)
            return dialect.type_descriptor(aware)  # type: ignore[arg-type]  # converted below
        return dialect.type_descriptor(Text())

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | datetime | None:
        if value is None or dialect.name != "postgresql":
            return value
        return datetime.fromisoformat(value)

    @override
    def process_result_value(self, value: str | datetime | None, dialect: Dialect) -> str | None:
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        return value


class JsonText(TypeDecorator[str]):
    """A JSON document as compact text; JSONB on PostgreSQL, which keeps no key order or spacing."""

    impl = Text
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB())
        return dialect.type_descriptor(Text())

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> object:
        if value is None or dialect.name != "postgresql":
            return value
        return json.loads(value)

    @override
    def process_result_value(self, value: object, dialect: Dialect) -> str | None:
        if value is None or dialect.name != "postgresql":
            return None if value is None else str(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _PgVector(UserDefinedType[bytes]):
    cache_ok = True

    @override
    def get_col_spec(self, **_: object) -> str:
        return f"vector({POSTGRESQL_EMBEDDING_DIMENSIONS})"


class Embedding(TypeDecorator[bytes]):
    """One header byte 0x01, then little-endian float32; `vector(n)` on PostgreSQL.

    Rows of old versions have no header: their length is a multiple of four, a headed one never is.
    """

    impl = LargeBinary
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[bytes]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(_PgVector())
        return dialect.type_descriptor(LargeBinary())

    @override
    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | str | None:
        if value is None or dialect.name != "postgresql":
            return value
        body = value if len(value) % _FLOAT_BYTES == 0 else value[1:]
        floats = struct.unpack(f"<{len(body) // _FLOAT_BYTES}f", body)
        return "[" + ",".join(map(repr, floats)) + "]"

    @override
    def process_result_value(self, value: bytes | str | None, dialect: Dialect) -> bytes | None:
        if not isinstance(value, str):
            return value
        floats = [float(part) for part in value.strip("[]").split(",")]
        return LITTLE_ENDIAN_HEADER + struct.pack(f"<{len(floats)}f", *floats)


class MetadataKey(Computed):
    """A generated column for one key of `metadata`: VIRTUAL on SQLite, STORED on PostgreSQL."""

    def __init__(self, key: str, default: str | None = None) -> None:
        super().__init__("metadata")
        self.key = key
        self.default = default

    @override
    def copy(self, **_: object) -> "MetadataKey":
        return MetadataKey(self.key, self.default)

    def expression(self, read: str) -> str:
        return read if self.default is None else f"COALESCE({read}, '{self.default}')"


@compiles(MetadataKey, "sqlite")
def _metadata_key_sqlite(element: MetadataKey, _: DDLCompiler, **__: object) -> str:
    expression = element.expression(f"json_extract(metadata, '$.{element.key}')")
    return f"GENERATED ALWAYS AS ({expression}) VIRTUAL"


@compiles(MetadataKey, "postgresql")
def _metadata_key_postgresql(element: MetadataKey, _: DDLCompiler, **__: object) -> str:
    expression = element.expression(f"metadata ->> '{element.key}'")
    return f"GENERATED ALWAYS AS ({expression}) STORED"


class utc_now(FunctionElement[str]):  # noqa: N801  # SQL functions are lower case
    """The database's clock in our text form, only for columns that v0.7.0 defaults to now."""

    inherit_cache = True
    type = Timestamp()


@compiles(utc_now, "sqlite")
def _utc_now_sqlite(_: utc_now, __: SQLCompiler, **___: object) -> str:
    return "(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))"


@compiles(utc_now, "postgresql")
def _utc_now_postgresql(_: utc_now, __: SQLCompiler, **___: object) -> str:
    return "now()"

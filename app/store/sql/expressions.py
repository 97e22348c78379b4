"""SQL expressions that SQLite and PostgreSQL spell differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Boolean, ColumnElement, Text, and_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class has_tag(FunctionElement[bool]):  # noqa: N801  # SQL functions are lower case
    """Whether a JSON array of texts holds one text: `has_tag(tags, tag)`."""

    type = Boolean()
    inherit_cache = True


@compiles(has_tag, "sqlite")
def _has_tag_sqlite(element: has_tag, compiler: SQLCompiler, **kwargs: object) -> str:
    tags, tag = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"EXISTS (SELECT 1 FROM json_each({tags}) WHERE value = {tag})"  # noqa: S608 - compiled clauses


@compiles(has_tag, "postgresql")
def _has_tag_postgresql(element: has_tag, compiler: SQLCompiler, **kwargs: object) -> str:
    tags, tag = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"jsonb_exists({tags}, {tag})"


class json_text(FunctionElement[str]):  # noqa: N801  # SQL functions are lower case
    """A top-level key of a JSON object as text, NULL when absent: `json_text(metadata, key)`."""

    type = Text()
    inherit_cache = True


@compiles(json_text, "sqlite")
def _json_text_sqlite(element: json_text, compiler: SQLCompiler, **kwargs: object) -> str:
    document, key = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"json_extract({document}, '$.' || json_quote({key}))"


@compiles(json_text, "postgresql")
def _json_text_postgresql(element: json_text, compiler: SQLCompiler, **kwargs: object) -> str:
    document, key = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"({document} ->> {key})"


_LAST_CHARACTER = "\U0010ffff"


def has_prefix(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Whether a text starts with another, case and every character taken literally.

    A range, so that an index serves it; LIKE would fold case on SQLite.
    """
    return and_(column >= prefix, column < prefix + _LAST_CHARACTER)


class database_bytes(FunctionElement[int]):  # noqa: N801  # SQL functions are lower case
    """How many bytes the database takes on disk: `database_bytes()`."""

    type = BigInteger()
    inherit_cache = True


@compiles(database_bytes, "sqlite")
def _database_bytes_sqlite(_: database_bytes, __: SQLCompiler, **___: object) -> str:
    return "(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())"


@compiles(database_bytes, "postgresql")
def _database_bytes_postgresql(_: database_bytes, __: SQLCompiler, **___: object) -> str:
    return "pg_database_size(current_database())"


class is_foreign_text(FunctionElement[bool]):  # noqa: N801  # SQL functions are lower case
    """Whether a time stands in a form whose text order is not time order: `is_foreign_text(at)`.

    Of times in UTC that end in `+00:00` the texts sort as the times do, however many digits the
    seconds have.
    """

    type = Boolean()
    inherit_cache = True


@compiles(is_foreign_text, "sqlite")
def _is_foreign_text_sqlite(
    element: is_foreign_text, compiler: SQLCompiler, **kwargs: object
) -> str:
    (at,) = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"({at} NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*+00:00')"


@compiles(is_foreign_text, "postgresql")
def _is_foreign_text_postgresql(_: is_foreign_text, __: SQLCompiler, **___: object) -> str:
    return "false"  # a timestamp, not a text

"""SQL expressions that SQLite and PostgreSQL spell differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Boolean, ColumnElement, Text, literal
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
    return f"EXISTS (SELECT 1 FROM json_each({tags}) WHERE value = {tag})"


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


def has_prefix(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Whether a text starts with another, every character taken literally."""
    return column.startswith(literal(prefix), autoescape=False) if not prefix else (
        column.startswith(prefix, autoescape=True)
    )

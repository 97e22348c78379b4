"""How results reach standard output: one JSON document, or lines for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.cli.session import Session
    from app.domain.memory import Json

SHORT_ID_CHARACTERS: Final = 8
PREVIEW_CHARACTERS: Final = 200


def emit(session: Session, document: Mapping[str, Json], text: str) -> None:
    """The document when `--json` is on, else the text; an empty text prints nothing."""
    if session.options.json:
        emit_json(document)
    elif text:
        click.echo(text)


def emit_json(document: Json | Mapping[str, Json]) -> None:
    """Pretty JSON; half surrogates, which no terminal can show, are escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    click.echo(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def rows_of(value: Json) -> Sequence[Mapping[str, Json]]:
    """The objects of a JSON list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def object_of(value: Json) -> Mapping[str, Json]:
    """A JSON object."""
    return value if isinstance(value, dict) else {}


def short_id(memory: Mapping[str, Json]) -> str:
    """The part of an id that is shown; commands take it as a prefix."""
    return str(memory.get("id", ""))[:SHORT_ID_CHARACTERS]


def memory_line(memory: Mapping[str, Json]) -> str:
    """One memory on one line."""
    title = _one_line(str(memory.get("title", "")))
    parts = [f"[{short_id(memory)}]", title, f"({memory.get('tier')}, {memory.get('namespace')})"]
    if "score" in memory:
        parts.append(f"score={memory['score']}")
    return " ".join(parts)


def preview(memory: Mapping[str, Json]) -> str:
    """The beginning of a memory's content, indented."""
    content = _one_line(str(memory.get("content", "")))
    cut = content[:PREVIEW_CHARACTERS]
    return f"    {cut}{'…' if len(content) > PREVIEW_CHARACTERS else ''}"


def table(rows: Sequence[tuple[str, object]]) -> str:
    """Names and values in two columns."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _one_line(text: str) -> str:
    return " ".join(text.split())

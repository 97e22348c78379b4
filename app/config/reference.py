"""The reference of every setting, written from the models: `python -m app.config.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import NoneType
from typing import Final, Literal, get_args, get_origin

from app.config.key import OnInvalid
from app.config.ladder import base_type
from app.config.secret import Secret
from app.config.settings import Leaf, Table, root_table

_HEAD: Final = """\
# Configuration

This page is generated (`make docs`) from `app/config/settings.py` and `app/config/sections/`.

One TOML file: `~/.config/ai-memory/config.toml`, or the file named by `--config PATH` (ours).
`AI_MEMORY_NO_CONFIG`, set to anything, skips the user's file. Every setting is resolved on its own:

`flag > environment > [section] key > flat key of v0.6 > compiled default`

* An empty text counts as not given; an empty switch in the environment is false. Switches in the
  environment are `1 true yes on` or `0 false no off`.
* A value of the wrong type, text that is not TOML, a file that cannot be read, and a key written
  where none may stand refuse the whole file: the process ends with exit code 78 and names the file
  and the rule. `doctor` and `config` still run, on compiled defaults.
* A value outside its range does what the last column says: *refused* (as above), *next layer* (a
  warning, and the next layer is asked) or *default* (a warning, and the compiled default holds).
  In the environment it never does more than warn.
* Keys that nothing reads are no error; `doctor` lists them.
* Keys of model vendors never stand in the file: name a variable (`api_key_env`) or a file of mode
  0400 (`api_key_file`), not both. The order is: own variable, the vendor's variable, `api_key_env`,
  `api_key_file`.

A key marked **ours** does not exist in ai-memory v0.7.0, which ignores it.
"""

_NOTHING: Final = "-"
_COLUMNS: Final = (
    "Key",
    "Type",
    "Default",
    "Unit",
    "Environment",
    "Flag",
    "Flat key",
    "Out of range",
)
_TYPE_NAMES: Final[Mapping[object, str]] = {
    bool: "switch",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    Secret: "secret text",
    timedelta: "duration",
}
_POLICIES: Final = {
    OnInvalid.REJECT: "refused",
    OnInvalid.NEXT_LAYER: "next layer",
    OnInvalid.DEFAULT: "default",
}


def render() -> str:
    """The whole page, in Markdown."""
    sections = ("\n".join(_section(table)) for table in root_table().all_tables() if table.leaves)
    return "\n".join([_HEAD, *sections]).rstrip() + "\n"


def type_name(annotation: object) -> str:
    """A setting's type in an operator's words."""
    kind = base_type(annotation)
    origin = get_origin(kind)
    if origin is Literal:
        return " \\| ".join(f"`{word}`" for word in get_args(kind))
    if origin is tuple:
        item = base_type(get_args(kind)[0])
        return "list of texts" if item is str else "array of tables"
    if kind in _TYPE_NAMES:
        return _TYPE_NAMES[kind]
    assert origin is Mapping, kind
    return "table"


def toml_literal(value: object) -> str:
    """A default as it would be written in the file; empty for one that is unset."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_literal(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{}"
    assert isinstance(value, str | Path | NoneType), value
    return "" if value is None else f'"{value}"'


def _section(table: Table) -> Iterator[str]:
    heading = f"`[{'.'.join(table.path)}]`" if table.path else "Top level"
    yield f"## {heading}\n"
    if table.path:
        yield f"{(table.model.__doc__ or '').splitlines()[0]}\n"
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for leaf in table.leaves:
        yield f"| {' | '.join(_cells(leaf))} |"
    yield ""
    for leaf in table.leaves:
        yield _sentence(leaf)
    yield ""


def _cells(leaf: Leaf) -> tuple[str, ...]:
    key = leaf.key
    default = toml_literal(leaf.default)
    return (
        f"`{leaf.path[-1]}`",
        type_name(leaf.field.annotation),
        f"`{default}`" if default else "unset",
        key.unit or _NOTHING,
        ", ".join(f"`{name}`" for name in key.env) or _NOTHING,
        f"`{key.flag}`" if key.flag else _NOTHING,
        ", ".join(f"`{name}`" for name in key.legacy) or _NOTHING,
        _POLICIES[key.on_invalid],
    )


def _sentence(leaf: Leaf) -> str:
    key = leaf.key
    marks = ["**ours**"] if key.ours else []
    if not key.in_file:
        marks.append("not in the file")
    if key.also:
        marks.append("also written " + ", ".join(f"`{name}`" for name in key.also))
    if key.invalid_items_dropped:
        marks.append("invalid entries are dropped with a warning")
    marks.extend([key.note] if key.note else [])
    tail = f" ({'; '.join(marks)})" if marks else ""
    return f"- `{leaf.path[-1]}`{tail}: {key.description}"


if __name__ == "__main__":
    sys.stdout.write(render())

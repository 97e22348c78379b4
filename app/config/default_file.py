"""The file that a first run leaves behind: every setting, commented out, so that none is set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from app.config.document import locate
from app.config.reference import toml_literal
from app.config.settings import Leaf, root_table

_HEAD: Final = """\
# Configuration of ai-memory. Every line is commented out: the values shown hold anyway.
# Take the # away from a [section] and from the keys below it that you change.
# A setting given by a flag or in the environment is stronger than this file.

# schema_version = 2
"""
_OWNER_ONLY: Final = 0o600


def render_default_file() -> str:
    """The text of the file. Without its comment signs it says what the compiled defaults say."""
    parts = [_HEAD]
    for table in root_table().all_tables():
        lines = [line for leaf in table.leaves for line in _lines(leaf)]
        if lines:
            heading = [f"\n# [{'.'.join(table.path)}]"] if table.path else []
            parts.append("\n".join([*heading, *lines]))
    return "\n".join(parts) + "\n"


def write_default_file(environ: Mapping[str, str]) -> Path | None:
    """Write the user's file if there is none yet; returns its path if it was written.

    Only the owner may read it, since an API key may be put in.

    Raises:
        OSError: the folder or file cannot be made; the process can go on without.
    """
    path = locate(environ, None)
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(render_default_file())
    return path


def _lines(leaf: Leaf) -> Iterator[str]:
    if not leaf.key.in_file or leaf.dotted == "schema_version":
        return
    unit = f" ({leaf.key.unit})" if leaf.key.unit else ""
    yield f"## {leaf.key.description}{unit}"
    default = toml_literal(leaf.default)
    # A key without a default shows only its name: TOML has no word for nothing.
    yield f"# {leaf.path[-1]} = {default}" if default else f"## {leaf.path[-1]} is unset."

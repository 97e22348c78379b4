"""`config migrate`: a flat file of v0.6 becomes one with sections, comments and all else kept."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item, Table
from tomlkit.toml_document import TOMLDocument

from app.config.document import CONFIG_BELOW_HOME
from app.config.replacement import replace_keeping_backup
from app.config.resolve import SECTIONED, resolve_leniently
from app.config.secret import REDACTED
from app.config.settings import leaves
from app.domain.sources import Clock, DiskSync


class MigrateExit(IntEnum):
    """Exit codes of the command."""

    OK = 0  # migrated, or nothing to do
    DRY_RUN = 1
    MISSING = 2  # no file, or no HOME to look in
    INVALID = 3  # not TOML
    IO = 4  # cannot be read or written


@dataclass(frozen=True, slots=True)
class Migration:
    """What the command did; `text` is the file's new text when there is one."""

    exit_code: MigrateExit
    message: str
    text: str | None = None
    backup: Path | None = None
    moved: tuple[str, ...] = ()


class _StopError(Exception):
    def __init__(self, exit_code: MigrateExit, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def migrate_file(
    environ: Mapping[str, str],
    clock: Clock,
    sync: DiskSync,
    given: Path | None = None,
    *,
    dry_run: bool = False,
) -> Migration:
    """Migrate the file named by `--config`, else the user's own.

    Before the file is replaced its bytes are kept as `<file>.bak.<time>`. A key that its
    section holds already stays as the section says, and the flat one goes.
    """
    try:
        path = _path(environ, given)
        document = _parse(path, _read(path))
        moved = _move(document, share_address=_embeds_at_ollama_url(path))
        if not moved:
            return Migration(MigrateExit.OK, f"{path} is already of version {SECTIONED}")
        after = _rendered(path, document)
        if dry_run:
            shown = _masked(after)
            return Migration(MigrateExit.DRY_RUN, f"{path} would become:", shown, moved=moved)
        backup = _replace(path, after, clock, sync)
    except _StopError as stop:
        return Migration(stop.exit_code, str(stop))
    return Migration(
        MigrateExit.OK, f"{path} migrated; the old file is {backup}", after, backup, moved
    )


def _path(environ: Mapping[str, str], given: Path | None) -> Path:
    if given is not None:
        return given
    home = environ.get("HOME", "")
    if not home:
        raise _StopError(MigrateExit.MISSING, "HOME is not set, so no file can be found")
    return Path(home) / CONFIG_BELOW_HOME


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _StopError(MigrateExit.MISSING, f"{path} does not exist") from None
    except OSError as error:
        raise _StopError(MigrateExit.IO, f"{path} cannot be read: {error.strerror}") from None


def _parse(path: Path, content: bytes) -> TOMLDocument:
    try:
        return tomlkit.parse(content)
    except (TOMLKitError, UnicodeDecodeError, RecursionError):
        # The library's own message may quote the line, and a secret may stand in it.
        raise _StopError(MigrateExit.INVALID, f"{path} is not TOML") from None


def _embeds_at_ollama_url(path: Path) -> bool:
    """Whether the file's `ollama_url` is also where its embeddings come from."""
    before = resolve_leniently({}, {}, path)
    shared = before.provenance("embeddings.base_url").origin == "ollama_url"
    return shared and before.settings.embeddings.backend == "ollama"


def _successors() -> dict[str, tuple[str, ...]]:
    """Each flat key's first successor, in the order of the settings."""
    found: dict[str, tuple[str, ...]] = {}
    for leaf in leaves().values():
        for name in leaf.key.legacy:
            if name not in found or leaf.path[0] == "llm":  # where `ollama_url` belongs first
                found[name] = leaf.path
    return found


def _move(document: TOMLDocument, *, share_address: bool) -> tuple[str, ...]:
    """Move the flat keys; the names of what changes, none if nothing has to."""
    changed: list[str] = []
    for name, path in _successors().items():
        if name not in document:
            continue
        value = document[name]
        document.remove(name)
        _put(document, path, value)
        if name == "ollama_url" and share_address:
            _put(document, ("embeddings", "base_url"), value)
        changed.append(name)
    version = document.get("schema_version")
    if not isinstance(version, int) or version < SECTIONED:
        changed.append("schema_version")
    return tuple(changed)


def _put(document: TOMLDocument, path: tuple[str, ...], value: object) -> None:
    """Set a key of a section unless the section holds it already."""
    table = _table(document, path[:-1])
    if path[-1] not in table:
        table[path[-1]] = value.unwrap() if isinstance(value, Item) else value


def _table(document: TOMLDocument, path: tuple[str, ...]) -> Table:
    here: TOMLDocument | Table = document
    for name in path:
        if name not in here:
            here[name] = tomlkit.table()
        below = here[name]
        if not isinstance(below, Table):
            raise _StopError(MigrateExit.INVALID, f"[{'.'.join(path)}] is not a table")
        here = below
    assert isinstance(here, Table)
    return here


def _rendered(path: Path, document: TOMLDocument) -> str:
    """The new text, read once more to be sure that it says what was meant."""
    meant = {**document.unwrap(), "schema_version": SECTIONED}
    if "schema_version" in document:
        document["schema_version"] = SECTIONED
        text = tomlkit.dumps(document)
    else:  # a top-level key must stand before the first section
        text = f"schema_version = {SECTIONED}\n{tomlkit.dumps(document)}"
    if tomlkit.parse(text).unwrap() != meant:
        raise _StopError(MigrateExit.INVALID, f"{path} cannot be rewritten safely; left as it was")
    return text


def _masked(text: str) -> str:
    """The text with the literals of keys and secrets covered."""
    document = tomlkit.parse(text)
    tables: list[MutableMapping[str, object]] = [document]
    while tables:
        table = tables.pop()
        for name, value in table.items():
            if isinstance(value, MutableMapping):
                tables.append(value)
            elif name == "api_key" or name.endswith("secret"):
                table[name] = REDACTED
    return tomlkit.dumps(document)


def _replace(path: Path, after: str, clock: Clock, sync: DiskSync) -> Path:
    try:
        return replace_keeping_backup(path, after.encode(), clock.now(), sync)
    except OSError as error:
        raise _StopError(MigrateExit.IO, f"{path} cannot be written: {error.strerror}") from None

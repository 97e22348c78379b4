"""The configuration file as read: found, parsed, and refused if it holds what it must not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from app.config.errors import ConfigRejectedError
from app.config.settings import Leaf, Table, leaves, root_table

Toml: TypeAlias = Mapping[str, object]

CONFIG_BELOW_HOME: Final = Path(".config/ai-memory/config.toml")
_SECTIONS_WITHOUT_KEYS: Final = (("llm",), ("llm", "auto_tag"), ("embeddings",))
_READABLE_BY_OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file, or nothing at all (`path` None, no values)."""

    path: Path | None = None
    values: Toml = field(default_factory=dict, repr=False)

    def table(self, path: tuple[str, ...]) -> Toml:
        """The table at `path`, empty if it is not there.

        Raises:
            ConfigRejectedError: something else than a table stands there.
        """
        here: Toml = self.values
        for depth, name in enumerate(path, start=1):
            below = here.get(name, {})
            if not isinstance(below, Mapping):
                raise self.rejected(f"[{'.'.join(path[:depth])}] is not a table")
            here = below
        return here

    def rejected(self, reason: str) -> ConfigRejectedError:
        return ConfigRejectedError(self.path or Path(), reason)

    def legacy_keys(self) -> tuple[str, ...]:
        """The flat keys of v0.6 that the file holds."""
        flat = dict.fromkeys(name for leaf in leaves().values() for name in leaf.key.legacy)
        return tuple(name for name in flat if name in self.values)

    def unknown_keys(self) -> tuple[str, ...]:
        """Keys and sections that no setting reads, dotted."""
        return tuple(_unknown(self, root_table()))


def locate(environ: Mapping[str, str], given: Path | None) -> Path | None:
    """Where the file would be; None if none is to be read.

    A file given by flag is read even under `AI_MEMORY_NO_CONFIG`: a flag is
    stronger than the environment.
    """
    if given is not None:
        return given
    home = environ.get("HOME", "")
    if "AI_MEMORY_NO_CONFIG" in environ or not home:
        return None
    return Path(home) / CONFIG_BELOW_HOME


def load(path: Path | None, *, must_exist: bool) -> Document:
    """Read and check the file.

    A file that is there but cannot be read is refused, not taken for absent:
    an operator's API key may stand in it.

    Raises:
        ConfigRejectedError: unreadable, not TOML, or a secret where none may be.
    """
    if path is None:
        return Document()
    try:
        text = path.read_bytes().decode()
        document = Document(path, tomllib.loads(text))
    except FileNotFoundError:
        if must_exist:
            raise ConfigRejectedError(path, "no such file") from None
        return Document()
    except OSError as error:
        raise ConfigRejectedError(path, f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigRejectedError(path, "not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigRejectedError(path, f"not TOML: {error}") from None
    except RecursionError:
        raise ConfigRejectedError(path, "not TOML: nested too deeply") from None
    _check_secrets(document)
    return document


def exposure_warning(document: Document) -> str | None:
    """A warning if others may read a file that holds a literal secret (it may: mode 0600)."""
    if document.path is None:
        return None
    holds_secret = bool(document.values.get("api_key")) or bool(
        document.table(("hooks", "subscription")).get("hmac_secret")
    )
    try:
        mode = document.path.stat().st_mode
    except OSError:
        return None
    if holds_secret and mode & _READABLE_BY_OTHERS:
        return f"{document.path} holds a secret and others may read it: chmod 600 {document.path}"
    return None


def _check_secrets(document: Document) -> None:
    for path in _SECTIONS_WITHOUT_KEYS:
        section, table = f"[{'.'.join(path)}]", document.table(path)
        if "api_key" in table:
            raise document.rejected(
                f"{section} api_key: inline keys are forbidden; use api_key_env (name of a "
                "variable) or api_key_file (a file of mode 0400)"
            )
        if table.get("api_key_env") and table.get("api_key_file"):
            raise document.rejected(
                f"{section} api_key_env and api_key_file exclude one another; keep one"
            )


def _unknown(document: Document, table: Table) -> Iterator[str]:
    known = {below.path[-1] for below in table.tables}
    for leaf in table.leaves:
        known.update(_names_in_file(leaf))
    if not table.path:
        known.update(name for leaf in leaves().values() for name in leaf.key.legacy)
    for name in document.table(table.path):
        if name not in known:
            yield ".".join((*table.path, name))
    for below in table.tables:
        yield from _unknown(document, below)


def _names_in_file(leaf: Leaf) -> tuple[str, ...]:
    return (leaf.path[-1], *leaf.key.also) if leaf.key.in_file else ()

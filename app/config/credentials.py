"""From which place a model vendor's key comes, and the key, without ever showing it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from app.config.secret import Secret
from app.config.vendors import find_vendor

_READABLE_BY_OTHERS: Final = 0o077
_KEY_BYTES_MAX: Final = 65_536


class KeyPlace(Enum):
    """The kind of place that a key was found in."""

    PROCESS_ENV = "ProcessEnv"
    ALIAS_FALLBACK = "AliasFallback"
    CONFIG_ENV_VAR = "ConfigEnvVar"
    CONFIG_FILE = "ConfigFile"
    NONE = "None"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A vendor's key and its place; `detail` is the variable, the file or the reason."""

    secret: Secret | None
    place: KeyPlace
    detail: str = ""

    @property
    def source(self) -> str:
        """The place as doctor prints it, such as `ConfigEnvVar(MY_KEY)`."""
        return f"{self.place.value}({self.detail})" if self.detail else self.place.value


@dataclass(frozen=True, slots=True)
class KeyReferences:
    """Where the configuration says the key is."""

    own: Secret | None
    backend: str
    api_key_env: str | None
    api_key_file: Path | None


def find_api_key(
    references: KeyReferences, environ: Mapping[str, str], *, lax_files: bool
) -> ApiKey:
    """The key by the chain: own variable, the vendor's, `api_key_env`, `api_key_file`.

    A file that cannot be used is an `ERROR` for doctor to show, never an exception: a node
    without a language model still serves.
    """
    if references.own is not None:
        return ApiKey(references.own, KeyPlace.PROCESS_ENV)
    vendor = find_vendor(references.backend)
    for name in vendor.key_env if vendor else ():
        if environ.get(name, "").strip():
            return ApiKey(Secret(environ[name].strip()), KeyPlace.ALIAS_FALLBACK, name)
    if references.api_key_env is not None:
        text = environ.get(references.api_key_env, "").strip()
        if text:
            return ApiKey(Secret(text), KeyPlace.CONFIG_ENV_VAR, references.api_key_env)
    if references.api_key_file is not None:
        return _from_file(references.api_key_file, lax_files=lax_files)
    return ApiKey(None, KeyPlace.NONE)


def _from_file(path: Path, *, lax_files: bool) -> ApiKey:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & _READABLE_BY_OTHERS and not lax_files:
                shown = f"{stat.S_IMODE(mode):04o}"
                return ApiKey(
                    None, KeyPlace.ERROR, f"{path} has lax permissions {shown}: chmod 0400"
                )
            text = file.read(_KEY_BYTES_MAX).decode().strip()
    except OSError as error:
        return ApiKey(None, KeyPlace.ERROR, f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return ApiKey(None, KeyPlace.ERROR, f"{path} is not UTF-8")
    if not text:
        return ApiKey(None, KeyPlace.ERROR, f"{path} is empty")
    return ApiKey(Secret(text), KeyPlace.CONFIG_FILE, str(path))

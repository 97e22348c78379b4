"""The namespace of a memory that is stored without one: settings, git, folder, `global`."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from app.domain import validation
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

FALLBACK: Final = "global"
_GIT_SECONDS: Final = 2.0
_UNFIT: Final = re.compile(r"[\s\x00-\x1f\x7f\\/]+")


def default_namespace(configured: str | None, folder: Path) -> str:
    """The first that there is of: the setting, the git origin's name, the folder's name."""
    if configured:
        return configured
    return fitted(_origin_name(folder)) or fitted(folder.name) or FALLBACK


def origin_name(address: str) -> str:
    """The repository's name out of `git@host:owner/name.git` or a URL."""
    last = PurePosixPath(address.strip().rstrip("/").replace(":", "/")).name
    return last.removesuffix(".git")


def _origin_name(folder: Path) -> str:
    try:
        asked = subprocess.run(
            ["git", "remote", "get-url", "origin"],  # noqa: S607  # whichever git the user has
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""  # no git, or no answer: the folder's name does
    return origin_name(asked.stdout) if asked.returncode == 0 else ""


def fitted(name: str) -> str:
    """The name as a namespace of one level; empty if nothing of it can be one."""
    candidate = _UNFIT.sub("-", name).strip("-")
    try:
        return validation.namespace(candidate)
    except InvalidInputError:
        return ""

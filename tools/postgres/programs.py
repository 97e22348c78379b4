"""The server's own programs: those installed on this machine, or those of a tree of our own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.postgres.release import Release, wanted
from tools.postgres.tree import ensure_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_NEEDED = ("vector", "age")


@dataclass(frozen=True)
class Programs:
    """A folder with `initdb` and `postgres` of one release."""

    folder: Path
    release: Release

    def path(self, name: str) -> str:
        return str(self.folder / name)


def find_programs(say: Callable[[str], None]) -> Programs:
    """Programs of the wanted release with both extensions: installed ones, else our own tree.

    Raises:
        NoPostgresError: there are none, and the tree cannot be made.
    """
    release = wanted(os.environ)
    for folder in _installed(release):
        if _is_suitable(folder, release):
            say(f"using {folder}")
            return Programs(folder, release)
    return Programs(ensure_tree(release, say) / release.programs, release)


def _installed(release: Release) -> Iterator[Path]:
    yield Path("/") / release.programs  # Debian leaves it out of the PATH
    found = shutil.which("postgres")
    if found is not None:
        yield Path(found).resolve().parent


def _is_suitable(folder: Path, release: Release) -> bool:
    if not os.access(folder / "initdb", os.X_OK):
        return False
    asked = [str(folder / "postgres"), "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    version = _VERSION.search(said)
    if version is None or int(version[1]) != release.major:
        return False
    share = _share(folder, release)
    return all((share / "extension" / f"{name}.control").is_file() for name in _NEEDED)


def _share(folder: Path, release: Release) -> Path:
    config = folder / "pg_config"
    if not config.exists():
        return Path(f"/usr/share/postgresql/{release.major}")
    asked = [str(config), "--sharedir"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return Path(said.strip())

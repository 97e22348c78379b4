"""A server that speaks another language than English."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.postgres.programs import Programs

LOCALE = "de_DE.UTF-8"


def make_german(programs: Programs, target: Path) -> None:
    """Make the locale that a server needs for it, for `LOCPATH`; fail where nothing can make it."""
    root = _root(programs)
    sources = root / "usr/share/i18n"
    maker = (
        root / "usr/bin/localedef" if root != Path("/") else Path(shutil.which("localedef") or "")
    )
    if not (sources / "locales/de_DE").is_file() or not maker.is_file():
        pytest.fail("the sources of locales are not here: install the package locales (Debian)")
    target.mkdir()
    made = target / LOCALE
    words = [*_loader(root), str(maker), "-i", "de_DE", "-f", "UTF-8", "--no-archive", str(made)]
    environment = {**os.environ, "I18NPATH": str(sources)}
    subprocess.run(words, env=environment, check=True, capture_output=True)
    target.chmod(0o755)


def _root(programs: Programs) -> Path:
    """The tree that the programs are part of; the machine's own, if they are installed on it."""
    return Path(str(programs.folder).removesuffix(str(programs.release.programs)))


def _loader(root: Path) -> list[str]:
    """How a program of a tree is started: by the tree's own loader and libraries."""
    if root == Path("/"):
        return []
    loader = next(root.glob("usr/lib/*/ld-linux-*.so.*"))
    return [str(loader), "--library-path", str(loader.parent)]

"""The layers of the program hold, and the check of them would notice a breach."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

BREACHES = {
    "domain/breach.py": ("import app.services\n", "Imports go down the layers"),
    "log/breach.py": ("import time\n", "stay pure"),
    "domain/clock.py": ("import asyncio\n", "stay pure"),
    "log/driver.py": ("import sqlalchemy\n", "no library but the codecs"),
    "services/breach.py": ("import app.store.sqlite\n", "Only the composition root"),
    "store/writing/breach.py": (
        "import apsw\n",
        "The write engine and the moving of stores know no database",
    ),
    "novelty/__init__.py": ("", "Imports go down the layers"),
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_imports_keep_every_contract():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", BREACHES)
def test_a_breach_is_noticed(place: str, tmp_path: Path):
    """A contract that no import could break would prove nothing."""
    shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    line, contract = BREACHES[place]
    breach = tmp_path / "app" / place
    breach.parent.mkdir(exist_ok=True)
    breach.write_text(f'"""A file that should not be."""\n\n{line}', encoding="utf-8")

    done = lint_imports(tmp_path)

    assert done.returncode != 0
    broken = [row for row in done.stdout.splitlines() if row.rstrip().endswith("BROKEN")]
    assert any(contract in row for row in broken), done.stdout

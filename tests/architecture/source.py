"""The files of the project, as the tests of this folder look at them."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_UNTRACKED = {".git", ".local-runs", "__pycache__", "data"}


def tracked_files() -> list[Path]:
    """Git's list, or in an unpacked archive every file that is not scratch."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        # A container may mount the checkout under another owner; reading is harmless there.
        command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if not _is_scratch(path.relative_to(ROOT))]
    return sorted(path for path in paths if path.is_file())


def _is_scratch(path: Path) -> bool:
    return any(
        part in _UNTRACKED or part.startswith((".venv", ".mypy", ".ruff", ".pytest", ".hypothesis"))
        for part in path.parts
    )


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))

"""The server's packages of a newer Debian, unpacked into a folder and run from there.

They need a newer C library than the machine may have, so each program is started through the
loader of the tree. That takes no chroot, no mount and, once unpacked, no privilege: PostgreSQL
finds its own files relative to where it is started from.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.postgres.errors import NoPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.postgres.release import Release

_ROOT = Path(__file__).resolve().parents[2]
_INSIDE = _ROOT / ".local-runs"
_OUTSIDE = Path("/var/lib/ai-memory-tests")
_SCRIPTS = Path("/usr/share/debootstrap")
_KEPT_LINES = 5

# The loader would otherwise look in the machine's folders, whose libraries may be older.
_STARTER = """#!/bin/sh
root=${{0%/{programs}/*}}
exec "$root/{loader}" --library-path "$root/{libraries}" --argv0 "$0" "$0.elf" "$@"
"""


def ensure_tree(release: Release, say: Callable[[str], None]) -> Path:
    """The release's tree, made if it is not there yet (half a minute, 130 MB of packages).

    Raises:
        NoPostgresError: it cannot be made here.
    """
    tree = _place() / f"postgres-{release.major}"
    tree.parent.mkdir(parents=True, exist_ok=True)
    with _alone(tree.with_suffix(".lock")):
        if not tree.exists():
            _make(tree, release, say)
    return tree


def _place() -> Path:
    """The folder of trees, where root's unprivileged server can read it, too."""
    if os.getuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in (_ROOT, *_ROOT.parents)):
        return _INSIDE
    return _OUTSIDE


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(tree: Path, release: Release, say: Callable[[str], None]) -> None:
    _need_downloader(release)
    say(
        f"PostgreSQL {release.major} is not installed:"
        f" fetching its packages of Debian {release.suite} into {tree}"
    )
    with tempfile.TemporaryDirectory(dir=tree.parent, prefix="making-") as made:
        packages = Path(made) / "packages"
        unpacked = Path(made) / "tree"
        unpacked.mkdir()
        _download(release, packages, Path(made) / "scripts")
        archives = sorted((packages / "var/cache/apt/archives").glob("*.deb"))
        say(f"unpacking {len(archives)} packages")
        for archive in archives:
            _run(["dpkg-deb", "-x", str(archive), str(unpacked)], dict(os.environ))
        _start_through_own_loader(unpacked, release.programs)
        unpacked.chmod(0o755)
        unpacked.rename(tree)
    say("ready")


def _need_downloader(release: Release) -> None:
    asked = ["sh", str(_ROOT / "tools" / "system-packages.sh"), "debootstrap"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoPostgresError(
            f"no PostgreSQL {release.major} with pgvector and AGE was found,"
            f" and none can be fetched:\n{done.stderr.strip()}"
        )


def _download(release: Release, target: Path, scripts: Path) -> None:
    """Fetch the packages and all that they depend on, with signatures checked."""
    # This debootstrap may be older than the suite; all suites are served by one script.
    shutil.copytree(_SCRIPTS, scripts, symlinks=True)
    script = scripts / "scripts" / release.suite
    if not script.exists():
        script.symlink_to("sid")
    command = [
        "debootstrap",
        "--download-only",
        "--variant=minbase",
        f"--include={','.join(release.packages)}",
        release.suite,
        str(target),
    ]
    if os.getuid() != 0:
        # It insists on root, and downloading alone needs no more than the name.
        command = ["unshare", "--map-root-user", *command]
    _run(command, {**os.environ, "DEBOOTSTRAP_DIR": str(scripts)})


def _start_through_own_loader(tree: Path, programs: Path) -> None:
    loader = next(tree.glob("usr/lib/*/ld-linux-*.so.*")).relative_to(tree)
    starter = _STARTER.format(programs=programs, loader=loader, libraries=loader.parent)
    for program in sorted((tree / programs).iterdir()):
        with program.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        program.rename(program.with_name(program.name + ".elf"))
        program.write_text(starter)
        program.chmod(0o755)


def _run(command: list[str], environ: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NoPostgresError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-_KEPT_LINES:]
        raise NoPostgresError(f"{' '.join(command[:2])} failed:\n" + "\n".join(said))

"""Build or refresh the project's own environment in `.venv`, from the lock files.

Needs the standard library only. `run` installs what the service needs, `dev` adds what the tests
need. A stamp per profile remembers what was installed, so that a second run costs nothing.
"""

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
PINNED = re.compile(r"^[a-z0-9][a-z0-9._-]*==", re.MULTILINE)
COLLECTING = re.compile(r"^\s*(?:Collecting|Processing|Requirement already satisfied:)\s+(\S+)")


class SetupError(Exception):
    """Setting up failed; the message is for the person who ran it."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment at a folder."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def works(self) -> bool:
        """Whether the environment's interpreter still starts and is recent enough."""
        if not self.python.exists():
            return False
        probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
        done = subprocess.run([self.python, "-c", probe], check=False, capture_output=True)
        return done.returncode == 0

    def fingerprint(self, profile: str) -> str:
        """Everything whose change means installing again: the pins, the project, the place."""
        digest = hashlib.sha256(f"{self.python}\0".encode())
        for name in (LOCKS[profile], "pyproject.toml"):
            digest.update((ROOT / name).read_bytes())
        return digest.hexdigest()

    def stamp(self, profile: str) -> Path:
        return self.folder / f".installed-{profile}"

    def current(self, profile: str) -> bool:
        """Whether the profile, or the larger one that contains it, is installed as pinned."""
        profiles = ["run", "dev"] if profile == "run" else ["dev"]
        return any(
            self.stamp(name).is_file() and self.stamp(name).read_text() == self.fingerprint(name)
            for name in profiles
        )


def say(line: str) -> None:
    print(f"setup: {line}", flush=True)


def create(environment: Environment) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    say(f"making an environment in {environment.folder} with Python {version}")
    command = [sys.executable, "-m", "venv", "--clear", str(environment.folder)]
    if subprocess.run(command, check=False).returncode != 0:
        message = (
            f"{sys.executable} could not make a virtual environment; its own message is above."
        )
        raise SetupError(message)


def pip(environment: Environment, *arguments: str | Path, total: int = 0) -> None:
    """Run pip; with a total, count the packages aloud instead of showing pip's own lines."""
    command = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check"]
    process = subprocess.Popen(
        [*command, "--no-input", "--progress-bar", "off", "--no-deps", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    lines: list[str] = []
    seen = 0
    for line in process.stdout:
        lines.append(line)
        found = COLLECTING.match(line)
        if total and found:
            seen += 1
            say(f"  {seen:3} of {total}  {found[1].split(' ')[0].replace('==', ' ')}")
    if process.wait() != 0:
        sys.stderr.writelines(lines[-20:])
        raise SetupError(
            "the packages could not be installed; pip's last lines are above. "
            "Packages already fetched are kept, so running again continues."
        )


def install(environment: Environment, profile: str) -> None:
    lock = ROOT / LOCKS[profile]
    total = len(PINNED.findall(lock.read_text()))
    say(f"installing the pinned packages of {lock.name} (a few minutes the first time)")
    pip(environment, "--require-hashes", "-r", lock, total=total)
    say("installing this project, editable")
    pip(environment, "--no-build-isolation", "--editable", ROOT)
    environment.stamp(profile).write_text(environment.fingerprint(profile))


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in LOCKS:
        sys.stderr.write("usage: setup.py run|dev FOLDER\n")
        return 2
    profile = arguments[0]
    environment = Environment((ROOT / arguments[1]).absolute())
    try:
        usable = environment.works()
        if usable and environment.current(profile):
            return 0
        if not usable:
            create(environment)
        install(environment, profile)
    except SetupError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 1
    say("ready")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

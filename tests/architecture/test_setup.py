"""Setting up on someone else's machine: what is chosen, and what is said when something lacks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

OLD = "#!/bin/sh\nexit 1\n"
WHOLE = "#!/bin/sh\nexit 0\n"
NO_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of commands that is the whole PATH; it starts with a shell alone."""
    shell = shutil.which("sh")
    assert shell is not None
    (tmp_path / "sh").symlink_to(shell)
    return tmp_path


def put(machine: Path, name: str, script: str) -> None:
    (machine / name).write_text(script)
    (machine / name).chmod(0o755)


def run(machine: Path, script: str, *arguments: str, **environment: str):
    return subprocess.run(
        [machine / "sh", ROOT / "tools" / script, *arguments],
        env={"PATH": str(machine), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_newest_suitable_python_is_taken(machine: Path):
    for name, script in {"python3": WHOLE, "python3.12": WHOLE, "python3.13": WHOLE}.items():
        put(machine, name, script)
    put(machine, "python3.14", OLD)
    assert run(machine, "find-python.sh").stdout == f"{machine}/python3.13\n"


def test_a_python_without_venv_gives_way_to_one_with_it(machine: Path):
    put(machine, "python3.13", NO_VENV)
    put(machine, "python3.11", WHOLE)
    assert run(machine, "find-python.sh").stdout == f"{machine}/python3.11\n"


def test_a_python_named_by_the_user_wins(machine: Path):
    put(machine, "python3.13", WHOLE)
    put(machine, "mine", WHOLE)
    done = run(machine, "find-python.sh", PYTHON=f"{machine}/mine")
    assert done.stdout == f"{machine}/mine\n"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({}, "no Python of version 3.11 or newer was found"),
        ({"python3": OLD}, "no Python of version 3.11 or newer was found"),
        ({"python3": NO_VENV}, "apt-get install python3-venv"),
    ],
    ids=["none", "too old", "without venv"],
)
def test_no_suitable_python_is_said_plainly(machine: Path, found: dict[str, str], sentence: str):
    for name, script in found.items():
        put(machine, name, script)
    done = run(machine, "find-python.sh")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stdout == ""


def test_a_missing_command_is_named_to_who_may_not_install_it(machine: Path):
    put(machine, "id", "#!/bin/sh\necho 1000\n")
    put(machine, "present", WHOLE)
    done = run(machine, "system-packages.sh", "present", "absent")
    assert done.returncode == 1
    assert "needed and missing: absent\n" in done.stderr


def test_root_installs_only_what_is_missing(machine: Path):
    put(machine, "id", "#!/bin/sh\necho 0\n")
    put(machine, "present", WHOLE)
    put(machine, "apt-get", f'#!/bin/sh\necho "$@" >>"{machine}/asked"\n')
    for name in ("mktemp", "rm"):
        (machine / name).symlink_to(str(shutil.which(name)))
    done = run(machine, "system-packages.sh", "present", "absent", TMPDIR=str(machine))
    assert done.returncode == 0
    asked = (machine / "asked").read_text().splitlines()
    assert asked == ["update", "install -y --no-install-recommends absent"]


def test_a_second_setup_installs_nothing(tmp_path: Path):
    """The stamp of the larger profile also stands for the smaller one, until a pin changes."""
    project = tmp_path / "project"
    (project / "tools").mkdir(parents=True)
    for name in ("tools/setup.py", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, project / name)
    calls = project / "calls"
    python = project / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    put(python.parent, "python", f'#!/bin/sh\ncase "$*" in *install*) echo x >>"{calls}";; esac\n')

    def setup(profile: str) -> int:
        command = [sys.executable, str(project / "tools" / "setup.py"), profile, "env"]
        done = subprocess.run(command, check=True, capture_output=True)
        assert done.returncode == 0
        return len(calls.read_text().splitlines())

    first = setup("dev")
    assert first > 0
    assert setup("dev") == setup("run") == first
    with (project / "requirements-dev.lock").open("a") as lock:
        lock.write("# a newer pin\n")
    assert setup("dev") > first


def test_help_lists_every_command_of_the_readme():
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert listed >= {"setup", "serve", "test", "check", "fix", "docs", "bench", "soak", "example"}

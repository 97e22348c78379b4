"""Four hosts node-a to node-d on a network of their own: network namespaces, and folders of theirs.

Takes root. Each host has its own /etc/ai-memory, /var/lib/ai-memory and /etc/hosts, seen by its
processes only; the machine's network is not touched.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.fleet.fleet import REPOSITORY

ADDRESSES = {f"node-{letter}": f"10.0.1.{10 + no}" for no, letter in enumerate("abcd")}
SWITCH = "ai-memory-switch"
_INSIDE = """\
mount --bind "$1/etc" /etc/ai-memory
mount --bind "$1/var" /var/lib/ai-memory
mount --bind "$1/hosts" /etc/hosts
shift
exec "$@"
"""


@dataclass
class Host:
    """One of them. `etc` and `var` are its /etc/ai-memory and /var/lib/ai-memory."""

    name: str
    folder: Path

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    def start(
        self, script: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Run a script of the shell there; what it prints goes to its file `log`."""
        with (self.folder / "log").open("a") as log:
            return subprocess.Popen(
                self._command(f"exec {script}"),
                env=self._environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def run(
        self, script: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        return subprocess.run(
            self._command(script),
            env=self._environment(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def _command(self, script: str) -> list[str]:
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _INSIDE, "sh"]
        return ["ip", "netns", "exec", self.name, *inside, str(self.folder), "sh", "-c", script]

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("AI_MEMORY_")
        }
        own = {"HOME": str(self.folder), "PATH": path, "PYTHONPATH": str(REPOSITORY)}
        return {**kept, **own, **(extra or {})}


@contextmanager
def four_hosts(folder: Path) -> Iterator[dict[str, Host]]:
    """Make them, with files of theirs in `folder`, and remove them.

    Raises:
        AssertionError: this needs root and network namespaces.
    """
    made: list[Path] = []
    namespaces: list[str] = []
    try:
        for place in (Path("/etc/ai-memory"), Path("/var/lib/ai-memory")):
            if not place.exists():  # somewhere to mount at; nothing is written into it
                place.mkdir()
                made.append(place)
        for name in (SWITCH, *ADDRESSES):
            _ip("netns", "add", name)
            namespaces.append(name)
        _in(SWITCH, "link", "add", "switch", "type", "bridge")
        _in(SWITCH, "link", "set", "switch", "up")
        hosts = {}
        for name, address in ADDRESSES.items():
            _ip(*f"-n {name} link add eth0 type veth peer name {name} netns {SWITCH}".split())
            _in(SWITCH, "link", "set", name, "master", "switch", "up")
            _in(name, "link", "set", "lo", "up")
            _in(name, "address", "add", f"{address}/24", "dev", "eth0")
            _in(name, "link", "set", "eth0", "up")
            hosts[name] = _files(Host(name, folder / name))
        yield hosts
    finally:
        for name in namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=False)
        for place in made:
            place.rmdir()


def _files(host: Host) -> Host:
    for part in ("etc", "var"):
        (host.folder / part).mkdir(parents=True)
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in ADDRESSES.items())]
    (host.folder / "hosts").write_text("\n".join(lines) + "\n")
    return host


def _in(namespace: str, *words: str) -> None:
    _ip("-n", namespace, *words)


def _ip(*words: str) -> None:
    command = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert command is not None, "this test makes network namespaces and needs the command ip"
    done = subprocess.run([command, *words], capture_output=True, text=True, check=False)
    reason = f"this test makes network namespaces and needs root: ip {' '.join(words)}"
    assert done.returncode == 0, f"{reason}: {done.stderr}"

"""A real node as a test sees it: a process with a URL, a database and a log, and verbs for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 30.0
POLL_SECONDS = 0.02
LOG_TAIL_CHARACTERS = 4_000

# What `make serve` runs with, but for the embedding model, which most tests do not need.
SERVE_CONFIG = """\
schema_version = 2
tier = "{tier}"

[limits]
max_memories_per_day = "unlimited"
max_storage_bytes = "unlimited"
max_links_per_day = "unlimited"

[admin]
loopback_default = true

[subscriptions]
allow_loopback_webhooks = true
"""


class NodeError(Exception):
    """The process did not do what was asked of it in time; the message ends with its log."""


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own_environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Build an environment in which no setting of the person who runs the tests is left."""
    # Nodes may keep compiled modules: a suite starts dozens of them.
    left_out = ("AI_MEMORY_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", **extra}


@dataclass
class Node:
    """One `serve` process on a database of its own; a second start has the same database and port.

    Attributes:
        folder: Where the database, the config and the log live.
        config: The text of its config file.
        arguments: More arguments for `serve`.
        environment: More environment for the process.
        store_url: The server that it keeps its memories on, instead of a file.
    """

    folder: Path
    config: str = field(default=SERVE_CONFIG.format(tier="keyword"))
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    store_url: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _output: IO[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def db(self) -> Path:
        return self.folder / "node.db"

    @property
    def log_file(self) -> Path:
        return self.folder / "node.log"

    @property
    def log(self) -> str:
        """What the process has printed since its first start."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        return self._running().pid

    def command(self, *words: str) -> list[str]:
        """Return the command line of `ai-memory` on this node's config, and file if it has one."""
        start = [sys.executable, "-m", "app", "--config", str(self.folder / "config.toml")]
        return [*start, *words] if self.store_url else [*start, "--db", str(self.db), *words]

    def launch(self) -> None:
        """Start the process without waiting for it to answer.

        The config is written anew every time, so that a test may change it between two starts.
        """
        if self.process is not None:
            raise NodeError("the node runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        # What a store on a server leaves on this machine lies where its file would lie.
        place = f'db = "{self.db}"\n' if self.store_url else ""
        (self.folder / "config.toml").write_text(place + self.config, encoding="utf-8")
        self._output = self.log_file.open("ab")
        serve = ["serve", "--host", "127.0.0.1", "--port", str(self.port), *self.arguments]
        if self.store_url:
            serve += ["--store-url", self.store_url]
        self.process = subprocess.Popen(
            self.command(*serve),
            cwd=REPOSITORY,
            env=own_environment(self.folder, self.environment),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def start(self, deadline_seconds: float = START_SECONDS_MAX) -> "Node":
        """Start the process and wait until `/api/v1/health` says ok.

        Raises:
            NodeError: It ended, or was not healthy in time.
        """
        self.launch()
        give_up_at = time.monotonic() + deadline_seconds
        while not self._healthy():
            # Waiting for the process to end is the pause between two questions.
            if self.wait(POLL_SECONDS) is not None or time.monotonic() > give_up_at:
                message = f"the node is not up, exit code {self.kill()}:\n{self._tail()}"
                raise NodeError(message)
        return self

    def wait(self, deadline_seconds: float) -> int | None:
        """Wait for the process to end by itself; None if it still runs at the deadline."""
        try:
            return self._running().wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, deadline_seconds: float = STOP_SECONDS_MAX) -> int:
        """Ask the process to end (SIGTERM) and return its exit code.

        Raises:
            NodeError: It did not end in time, and was killed.
        """
        self._running().send_signal(signal.SIGTERM)
        code = self.wait(deadline_seconds)
        if code is None:
            self.kill()
            raise NodeError(f"the node ignored SIGTERM for {deadline_seconds} s:\n{self._tail()}")
        self._forget()
        return code

    def kill(self) -> int:
        """End the process at once (SIGKILL) and return its exit code."""
        process = self._running()
        process.kill()
        code = process.wait()
        self._forget()
        return code

    def close(self) -> None:
        """Make sure that nothing is left running; for the end of a test."""
        if self.process is not None:
            self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise NodeError("the node does not run")
        return self.process

    def _forget(self) -> None:
        self.process = None
        if self._output is not None:
            self._output.close()
            self._output = None

    def _healthy(self) -> bool:
        try:
            reply = httpx.get(f"{self.url}/api/v1/health", timeout=1.0, trust_env=False)
        except httpx.TransportError:
            return False
        return reply.status_code == httpx.codes.OK

    def _tail(self) -> str:
        return self.log[-LOG_TAIL_CHARACTERS:]

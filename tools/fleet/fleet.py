"""A full mesh of `ai-memory serve` processes on loopback, with mutual TLS between them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import httpx

from tools.fleet.authority import Authority, Issued

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LOOPBACK: Final = "127.0.0.1"
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 30.0
_POLL_SECONDS: Final = 0.02
_LOG_TAIL_CHARACTERS: Final = 4_000
CONFIG: Final = """\
schema_version = 2
tier = "{tier}"

[limits]
max_memories_per_day = "unlimited"
max_storage_bytes = "unlimited"
max_links_per_day = "unlimited"
"""


class FleetError(Exception):
    """A process did not do what was asked of it in time; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What all nodes of a fleet have in common. `quorum_writes` counts the node itself."""

    nodes: int = 4
    quorum_writes: int = 2
    tier: str = "keyword"
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    tls: bool = True
    plain: Collection[str] = ()
    """Nodes that are called without TLS although the others are not."""


@dataclass(slots=True)
class FleetNode:
    """One node: a process, a database that survives it, and a URL."""

    name: str
    folder: Path
    url: str
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _output: IO[bytes] | None = field(default=None, init=False)

    @property
    def db(self) -> Path:
        return self.folder / "store.db"

    @property
    def log(self) -> str:
        """What the process printed since its first start."""
        return (self.folder / "node.log").read_text(encoding="utf-8", errors="replace")

    def launch(self) -> None:
        """Start the process without waiting."""
        if self.process is not None:
            raise FleetError(f"{self.name} runs already")
        self._output = (self.folder / "node.log").open("ab")
        self.process = subprocess.Popen(
            self.command,
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def has_ended(self) -> bool:
        """Whether the process is gone, or was never started."""
        return self.process is None or self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP or SIGHUP."""
        if self.process is None:
            raise FleetError(f"{self.name} does not run")
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask the process to end and return its exit code.

        Raises:
            FleetError: it did not end in time, and was killed.
        """
        self.signal(signal.SIGTERM)
        assert self.process is not None
        try:
            code = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise FleetError(f"{self.name} ignored SIGTERM:\n{self.tail()}") from error
        self._forget()
        return code

    def kill(self) -> None:
        """End the process at once, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._forget()

    def tail(self) -> str:
        """The end of the log."""
        return self.log[-_LOG_TAIL_CHARACTERS:]

    def _forget(self) -> None:
        self.process = None
        if self._output is not None:
            self._output.close()
            self._output = None


class Fleet:
    """Nodes named node-a, node-b, ...; every node is every other one's peer."""

    def __init__(self, folder: Path, options: FleetOptions) -> None:
        self.folder = folder
        self.options = options
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder / "tls")
        self._agents = self.authority.issue("agents")
        names = [f"node-{chr(ord('a') + no)}" for no in range(options.nodes)]
        ports = _free_ports(len(names))
        urls = {
            name: f"{'https' if self._is_tls(name) else 'http'}://{LOOPBACK}:{port}"
            for name, port in zip(names, ports, strict=True)
        }
        servers = {name: self.authority.issue(name, [name, LOOPBACK]) for name in names}
        clients = {name: self.authority.issue(f"{name}-client") for name in names}
        admitted = [self._agents, *clients.values()]
        self.allowlist = folder / "tls" / "peer-fingerprints.txt"
        self.allowlist.write_text("".join(f"{one.fingerprint}\n" for one in admitted), "utf-8")
        self.nodes = {
            name: self._node(name, urls, port, servers[name], clients[name])
            for name, port in zip(names, ports, strict=True)
        }

    def __iter__(self) -> Iterator[FleetNode]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> FleetNode:
        return self.nodes[name]

    def start(self, *names: str) -> None:
        """Start nodes (all of them if none is named) and wait until each answers.

        Raises:
            FleetError: one ended, or did not answer in time.
        """
        chosen = [self.nodes[name] for name in names] or list(self)
        for node in chosen:
            node.launch()
        for node in chosen:
            self._wait_until_healthy(node)

    def close(self) -> None:
        """Leave no process behind."""
        for node in self:
            node.kill()

    def remove(self) -> None:
        """Close, and delete every file."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client_context(self, who: Issued | None = None) -> ssl.SSLContext | bool:
        """How an agent's client verifies a node and shows its own certificate."""
        if not self.options.tls:
            return False
        shown = self._agents if who is None else who
        context = ssl.create_default_context(cafile=str(self.authority.file))
        context.load_cert_chain(shown.certificate, shown.key)
        return context

    def client(self, name: str, agent_id: str | None = None) -> httpx.AsyncClient:
        """An agent's client of one node."""
        headers = {} if agent_id is None else {"X-Agent-Id": agent_id}
        return httpx.AsyncClient(
            base_url=self.nodes[name].url,
            verify=self.client_context(),
            headers=headers,
            timeout=30,
            trust_env=False,
        )

    def _node(
        self, name: str, urls: Mapping[str, str], port: int, server: Issued, client: Issued
    ) -> FleetNode:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        config = folder / "config.toml"
        config.write_text(CONFIG.format(tier=self.options.tier), "utf-8")
        peers = ",".join(url for other, url in urls.items() if other != name)
        command = [sys.executable, "-m", "app", "--config", str(config)]
        command += ["--db", str(folder / "store.db"), "serve"]
        command += ["--host", LOOPBACK, "--port", str(port)]
        command += ["--quorum-writes", str(self.options.quorum_writes)]
        command += ["--quorum-peers", peers] if peers else []
        command += ["--federation-identity", name]
        if self._is_tls(name):
            command += ["--tls-cert", str(server.certificate), "--tls-key", str(server.key)]
            command += ["--mtls-allowlist", str(self.allowlist)]
        if self.options.tls:
            command += ["--quorum-client-cert", str(client.certificate)]
            command += ["--quorum-client-key", str(client.key)]
            command += ["--quorum-ca-cert", str(self.authority.file)]
        command += self.options.arguments
        return FleetNode(
            name, folder, urls[name], command, _environment(folder, self.options.environment)
        )

    def _is_tls(self, name: str) -> bool:
        return self.options.tls and name not in self.options.plain

    def _wait_until_healthy(self, node: FleetNode) -> None:
        give_up_at = time.monotonic() + START_SECONDS_MAX
        with httpx.Client(verify=self.client_context(), timeout=1, trust_env=False) as client:
            while True:
                try:
                    if client.get(f"{node.url}/api/v1/health").is_success:
                        return
                except httpx.TransportError:
                    pass
                if node.has_ended() or time.monotonic() > give_up_at:
                    node.kill()
                    raise FleetError(f"{node.name} is not up:\n{node.tail()}")
                time.sleep(_POLL_SECONDS)


def _environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """An environment in which no setting of the person who runs this is left."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AI_MEMORY_")}
    return {**kept, "HOME": str(home), "PYTHONUNBUFFERED": "1", **extra}


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()

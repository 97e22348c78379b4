"""The two servers under load: the node, and the baseline that commits once a request."""

import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench.baseline.one_post import Credentials
from bench.measurement import MeasurementError
from tests.integration.node import REPOSITORY, SERVE_CONFIG, Node, NodeError, free_port
from tools.fleet.authority import Authority

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.05


@contextmanager
def started_node(folder: Path, tier: str = "keyword", store_url: str = "") -> Iterator[Node]:
    """Run a node with the settings of `make serve` on the database in `folder`, or a new one.

    With `store_url` its store is that server's, and only the config and the log are in `folder`.
    """
    node = Node(folder, SERVE_CONFIG.format(tier=tier), store_url=store_url)
    try:
        try:
            node.start()
        except NodeError as error:
            raise MeasurementError(str(error)) from error
        yield node
    finally:
        node.close()


@contextmanager
def running_node(folder: Path, tier: str = "keyword") -> Iterator[str]:
    """As `started_node`, for who only needs its URL."""
    with started_node(folder, tier) as node:
        yield node.url


@contextmanager
def running_baseline(folder: Path) -> Iterator[str]:
    """Run the baseline server on a new database, and yield its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    words = ["--db", str(folder / "baseline.db"), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with _running("bench.baseline.server", words) as process:
        _wait_until_healthy(process, url)
        yield url


@contextmanager
def running_one_post(folder: Path, peer_count: int, writes: int) -> Iterator[str]:
    """Run the baseline of one POST a write and peer, and yield the URL of its entry node."""
    folder.mkdir(parents=True, exist_ok=True)
    tls = folder / "tls"
    authority = Authority(tls)
    names = ["entry", *(f"peer-{number}" for number in range(peer_count))]
    for name in names:
        authority.issue(name, ["127.0.0.1"])
    ports = {name: free_port() for name in names}
    peers = [f"https://127.0.0.1:{ports[name]}" for name in names[1:]]
    context = Credentials.of(tls, "entry").context()
    with ExitStack() as stack:
        for name in reversed(names):
            words = ["--db", str(folder / f"{name}.db"), "--port", str(ports[name])]
            words += ["--name", name, "--tls", str(tls), "--writes", str(writes)]
            words += ["--entry", "--peers", ",".join(peers)] if name == "entry" else []
            process = stack.enter_context(_running("bench.baseline.one_post", words))
            scheme = "http" if name == "entry" else "https"
            _wait_until_healthy(process, f"{scheme}://127.0.0.1:{ports[name]}", context)
        yield f"http://127.0.0.1:{ports['entry']}"


@contextmanager
def _running(module: str, words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", module, *words], cwd=REPOSITORY)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(
    process: subprocess.Popen[bytes], url: str, context: ssl.SSLContext | bool = False
) -> None:
    give_up_at = time.monotonic() + START_SECONDS_MAX
    with httpx.Client(verify=context, timeout=1.0, trust_env=False) as client:
        while True:
            try:
                if client.get(f"{url}/api/v1/health").is_success:
                    return
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise MeasurementError("a baseline server did not start")
            time.sleep(POLL_SECONDS)

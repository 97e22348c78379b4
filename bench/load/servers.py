"""The two servers under load: the node, and the baseline that commits once a request."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench.measurement import MeasurementError
from tests.integration.node import REPOSITORY, SERVE_CONFIG, Node, NodeError, free_port

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
    words = [
        "-m",
        "bench.baseline.server",
        "--db",
        str(folder / "baseline.db"),
        "--port",
        str(port),
    ]
    process = subprocess.Popen([sys.executable, *words], cwd=REPOSITORY)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(process, url)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            if httpx.get(f"{url}/api/v1/health", timeout=1.0, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise MeasurementError("the baseline server did not start")
        time.sleep(POLL_SECONDS)

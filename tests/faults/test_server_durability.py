"""On PostgreSQL, too, an answered write is on the disk, whatever the server's default is.

Two witnesses, each with a twin that it must find guilty. The system calls of node and server show
that the server's log was flushed before the answer. And a server that is killed right after the
answer has the row, or where its commits do not wait has lost it: such a commit lies in its memory.
"""

import itertools
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from tests.faults.system_calls import TRACED, Call, is_flushed_before_the_answer, read_trace
from tests.faults.waiting import wait_for
from tests.integration.node import SERVE_CONFIG, Node
from tests.postgres.fixtures import Ask
from tools.postgres.cluster import Cluster
from tools.postgres.errors import NoPostgresError
from tools.postgres.obtain import own_cluster

LOG = "/pg_wal/"
# Nothing but our own commit makes the server flush while the test looks.
QUIET = {"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "autovacuum": "off"}
FLUSHING = {**QUIET, "fsync": "on"}
UNFORCED = "tests.faults.serve_unforced"
KEPT = "SELECT count(*) FROM memories WHERE title = 'kept'"

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(postgres_progress: Callable[[str], None]) -> Iterator[Cluster]:
    try:
        with own_cluster(postgres_progress) as cluster:
            yield cluster
    except NoPostgresError as error:
        pytest.fail(str(error), pytrace=False)


@dataclass
class NodeOfModule(Node):
    """A node run by a program of the tests, perhaps."""

    module: str = "app"

    @override
    def command(self, *words: str) -> list[str]:
        return [self.module if word == "app" else word for word in super().command(*words)]


@dataclass
class Scene:
    """A node on a new database of the server."""

    server: Cluster
    node: NodeOfModule

    def store(self) -> None:
        reply = httpx.post(
            f"{self.node.url}/api/v1/memories",
            json={"title": "kept", "content": "for good"},
            timeout=60,
        )
        assert reply.status_code == 201

    def trace_a_store(self, folder: Path) -> list[Call]:
        """The calls of the node and of every process of the server, for one answered write."""
        postmaster = int((self.server.data / "postmaster.pid").read_text().splitlines()[0])
        trace = folder / "system-calls"
        with traced([self.node.pid, postmaster, *_children(postmaster)], trace, folder):
            self.store()
        return read_trace(trace)


@pytest.fixture
def make_scene(server: Cluster, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """`make_scene(settings, synchronous_commit, module)`: settings of the server, its default for
    the database, and which program serves."""
    made: list[NodeOfModule] = []

    def make(settings: dict[str, str], chosen: str, module: str = "app") -> Scene:
        server.halt()
        server.start(settings)
        name = f"flushed_{next(_numbers)}"
        server.execute(f"CREATE DATABASE {name}")
        server.execute(f"ALTER DATABASE {name} SET synchronous_commit = {chosen}")
        config = SERVE_CONFIG.format(tier="keyword")
        node = NodeOfModule(tmp_path, config, store_url=server.url(name), module=module)
        made.append(node)
        node.start(deadline_seconds=90)
        return Scene(server, node)

    yield make
    for node in made:
        node.close()


@contextmanager
def traced(pids: list[int], file: Path, folder: Path) -> Iterator[None]:
    """Write down the system calls of running processes and of those that they start."""
    assert shutil.which("strace"), "strace is missing: sh tools/system-packages.sh strace"
    attach = [word for pid in pids for word in ("-p", str(pid))]
    words = ["strace", "-f", "-y", "-s", "32", "-e", f"trace={TRACED}", "-o", str(file), *attach]
    said = folder / "strace.log"
    with said.open("wb") as output:
        process = subprocess.Popen(words, stderr=output)
    try:
        wait_for(lambda: said.read_text().count(" attached") >= len(pids), "strace to attach")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _children(pid: int) -> list[int]:
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for file in files for word in file.read_text().split()]


# --- what the system calls show ----------------------------------------------------------------


@pytest.mark.parametrize("chosen", ["on", "off"])
def test_the_log_is_flushed_before_a_write_is_acknowledged(make_scene, tmp_path: Path, chosen: str):
    calls = make_scene(FLUSHING, chosen).trace_a_store(tmp_path)
    assert is_flushed_before_the_answer(calls, LOG)


@pytest.mark.parametrize(
    ("settings", "chosen", "module", "is_written"),
    [
        pytest.param(FLUSHING, "off", UNFORCED, False, id="the commit does not wait"),
        pytest.param(QUIET, "on", "app", True, id="the server does not flush"),
    ],
)
def test_the_trace_shows_when_a_write_is_acknowledged_unflushed(
    make_scene,
    tmp_path: Path,
    settings: dict[str, str],
    chosen: str,
    module: str,
    is_written: bool,
):
    calls = make_scene(settings, chosen, module).trace_a_store(tmp_path)
    assert any(LOG in one.path for one in calls) is is_written
    assert not is_flushed_before_the_answer(calls, LOG)


# --- what is left when the server is killed ----------------------------------------------------


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        pytest.param("app", 1, id="forced"),
        pytest.param(UNFORCED, 0, id="unforced"),
    ],
)
def test_a_server_that_need_not_wait_is_made_to(make_scene, ask: Ask, module: str, kept: int):
    scene = make_scene(FLUSHING, "off", module)
    scene.store()
    scene.server.halt()
    scene.server.start(FLUSHING)
    assert ask(scene.node.store_url, KEPT) == [(kept,)]

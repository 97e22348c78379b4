"""`sync-daemon` beside a node, without one, and against what it may not believe."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.node import REPOSITORY, Node, own_environment
from tests.integration.sync.conftest import Client, until
from tests.integration.sync.old_node import OldNode
from tests.integration.sync.test_beside_an_old_node import at, row

STOP_SECONDS_MAX = 30.0


class Daemon:
    """One `sync-daemon` process."""

    def __init__(self, node: Node, *words: str) -> None:
        self.log_file = node.folder / "daemon.log"
        self._log = self.log_file.open("ab")
        self.process = subprocess.Popen(
            node.command("sync-daemon", *words),
            cwd=REPOSITORY,
            env=own_environment(node.folder, {"AI_MEMORY_FED_IDENTITY": "host:new-node"}),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS_MAX)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(run: ExitStack, node: Node, *words: str) -> Daemon:
    daemon = Daemon(node, *words)
    run.callback(daemon.close)
    return daemon


def test_it_reconciles_a_serving_node_with_its_peers(make_node, run):
    node = make_node().start()
    ours = run.enter_context(closing(Client(node)))
    one, two = (run.enter_context(OldNode(name).serving()) for name in ("host:one", "host:two"))
    rows = [row(number, at(10)) for number in range(30)]
    one.rows.update((each["id"], each) for each in rows)
    made = ours.store("Ours")
    peers = f"{one.url},{two.url}"
    daemon = start(run, node, "--peers", peers, "--interval", "1", "--batch-size", "7")
    wanted = {made["id"], *(each["id"] for each in rows)}
    until(lambda: wanted <= set(one.rows) and wanted <= set(two.rows))
    assert ours.total() == 31
    # What came from a peer is not sent back to it.
    sent = [each["id"] for push in one.pushes for each in push["memories"]]
    assert sent == [made["id"]]
    ours.ask("PUT", f"/memories/{made['id']}", json={"content": "edited"})
    until(lambda: two.rows[made["id"]]["content"] == "edited")
    assert daemon.stop(signal.SIGTERM) == 0
    assert f"{one.url}: pulled 30, pushed 1" in daemon.log


def test_a_peer_that_fails_stops_nobody_and_is_said_once(make_node, run):
    """W4 beside it: a row of ours dated in the future does not hide those after it."""
    node = make_node().start()
    ours = run.enter_context(closing(Client(node)))
    well = run.enter_context(OldNode("host:well").serving())
    ill = run.enter_context(OldNode("host:ill").serving())
    ill.refuse = lambda _method, _path: 503
    ahead = (datetime.now(UTC) + timedelta(seconds=50)).isoformat()
    well.tell(node.url, row("ahead", ahead))
    daemon = start(run, node, "--peers", f"{ill.url},{well.url}", "--interval", "1")
    first = ours.store("First")
    until(lambda: first["id"] in well.rows)
    second = ours.store("Second")
    until(lambda: second["id"] in well.rows)
    seen = len(ill.requests)
    until(lambda: len(ill.requests) > seen + 2)
    assert daemon.log.count(f"{ill.url}: warning") == 1
    ill.refuse = lambda _method, _path: None
    until(lambda: {first["id"], second["id"]} <= set(ill.rows))
    assert daemon.stop(signal.SIGINT) == 0


def test_without_a_node_it_opens_the_database_itself(make_node, run):
    node = make_node()
    node.start()
    with closing(Client(node)) as ours:
        made = ours.store("Before")
    node.stop()
    old = run.enter_context(OldNode().serving())
    old.rows["old-1"] = row(1, at(1))
    daemon = start(run, node, "--peers", old.url, "--interval", "1")
    until(lambda: made["id"] in old.rows)
    assert daemon.stop(signal.SIGTERM) == 0
    node.start()
    with closing(Client(node)) as ours:
        assert ours.titles() == {"Before", "Old 1"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--peers", "https://node-b:9077"), 78, "--ca-cert"),
        (("--peers", "https://node-b:9077", "--insecure-skip-server-verify"), 2, "--ca-cert"),
        (("--peers", "https://node-b", "--ca-cert", "/nowhere/ca.crt"), 78, "/nowhere/ca.crt"),
        (("--peers", "node-b"), 2, "--peers"),
        (("--peers", ""), 2, "--peers"),
        (("--peers", "http://node-b", "--client-cert", "c.pem"), 2, "--client-key"),
        (("--peers", "http://node-b", "--interval", "0"), 2, "--interval"),
        (("--interval", "5"), 2, "--peers"),
    ],
)
def test_what_it_refuses(make_node, run, words, code, said):
    node = make_node()
    node.folder.mkdir(parents=True)
    (node.folder / "config.toml").write_text(node.config, encoding="utf-8")
    daemon = start(run, node, *words)
    assert daemon.process.wait(STOP_SECONDS_MAX) == code
    assert said in daemon.log

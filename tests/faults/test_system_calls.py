"""Between the write of the log and the answer 201, the kernel was asked to flush, and had done it.

The counterpart of `test_power_loss.py`, which simulates the disk: here a real node's system calls
are traced. Neither shows that the machine's disk obeys.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from tests.faults.system_calls import TRACED, Call, is_flushed_before_the_answer, read_trace
from tests.integration.node import SERVE_CONFIG, Node

LOG = ".db-wal"


@dataclass
class TracedNode(Node):
    """A node under `strace`, which stands aside so that the node stays this process's child."""

    module: str = "app"
    trace: Path = field(init=False)

    def __post_init__(self) -> None:
        self.trace = self.folder / "system-calls"

    @override
    def command(self, *words: str) -> list[str]:
        plain = [self.module if word == "app" else word for word in super().command(*words)]
        quiet = ["-D", "-f", "-q", "-y", "-s", "32", "--seccomp-bpf"]
        return ["strace", *quiet, "-e", f"trace={TRACED}", "-o", str(self.trace), *plain]


@pytest.fixture
def trace_a_write(tmp_path: Path) -> Iterator[Callable[[str], list[Call]]]:
    assert shutil.which("strace"), "strace is missing: sh tools/system-packages.sh strace"
    made: list[TracedNode] = []

    def run(module: str) -> list[Call]:
        node = TracedNode(tmp_path, SERVE_CONFIG.format(tier="keyword"), module=module)
        made.append(node)
        node.start(deadline_seconds=90)
        reply = httpx.post(
            f"{node.url}/api/v1/memories", json={"title": "kept", "content": "for good"}, timeout=60
        )
        assert reply.status_code == 201
        assert node.stop() == 0
        return read_trace(node.trace)

    yield run
    for node in made:
        node.close()


def test_the_log_is_flushed_before_a_write_is_acknowledged(
    trace_a_write: Callable[[str], list[Call]],
):
    assert is_flushed_before_the_answer(trace_a_write("app"), LOG)


def test_the_trace_shows_when_a_write_is_acknowledged_unflushed(
    trace_a_write: Callable[[str], list[Call]],
):
    calls = trace_a_write("tests.faults.serve_unflushed")
    assert any(one.path.endswith(LOG) for one in calls)
    assert not is_flushed_before_the_answer(calls, LOG)

"""Between the write of the log and the answer 201, the kernel was asked to flush, and had done it.

The counterpart of `test_power_loss.py`, which simulates the disk: here a real node's system calls
are traced. Neither shows that the machine's disk obeys.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import pytest
from typing_extensions import override

from tests.integration.node import SERVE_CONFIG, Node

TRACED: Final = "fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"
_STARTED: Final = re.compile(r"^(\d+) +(\w+)\((?:\d+<([^>]*)>)?(.*)$")
_RESUMED: Final = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


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


@dataclass(frozen=True)
class Call:
    """A system call; the positions are lines of the trace where it began and where it was done."""

    name: str
    path: str
    arguments: str
    began: int
    done: int


def read_trace(path: Path) -> list[Call]:
    calls: list[Call] = []
    open_calls: dict[str, tuple[int, re.Match[str]]] = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines()):
        if (resumed := _RESUMED.match(line)) and resumed[1] in open_calls:
            began, found = open_calls.pop(resumed[1])
            calls.append(Call(found[2], found[3] or "", found[4], began, number))
        elif started := _STARTED.match(line):
            if line.endswith("<unfinished ...>"):
                open_calls[started[1]] = (number, started)
            else:
                calls.append(Call(started[2], started[3] or "", started[4], number, number))
    return calls


def is_log_flushed_before_the_answer(calls: list[Call]) -> bool:
    answers = [one for one in calls if "HTTP/1.1 201" in one.arguments]
    assert len(answers) == 1, "exactly one 201 is expected in the trace"
    answer = answers[0]
    in_log = [one for one in calls if one.path.endswith(".db-wal") and one.began < answer.began]
    writes = [one for one in in_log if "write" in one.name]
    assert writes, "the trace shows no write to the write-ahead log before the answer"
    last = max(one.done for one in writes)
    flushes = [one for one in in_log if one.name in {"fdatasync", "fsync"}]
    return any(one.began > last and one.done < answer.began for one in flushes)


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
    assert is_log_flushed_before_the_answer(trace_a_write("app"))


def test_the_trace_shows_when_a_write_is_acknowledged_unflushed(
    trace_a_write: Callable[[str], list[Call]],
):
    assert not is_log_flushed_before_the_answer(trace_a_write("tests.faults.serve_unflushed"))

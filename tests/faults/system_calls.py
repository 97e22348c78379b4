"""What `strace` wrote down: the system calls of some processes, in one order."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TRACED: Final = "fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"
ANSWER: Final = "HTTP/1.1 201"
_STARTED: Final = re.compile(r"^(\d+) +(\w+)\((?:\d+<([^>]*)>)?(.*)$")
_RESUMED: Final = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


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


def is_flushed_before_the_answer(calls: list[Call], log: str) -> bool:
    """Whether the log was written, and its last write flushed, before the one 201 was sent.

    Args:
        calls: In the order in which they were done.
        log: A part of the paths of the log's files.
    """
    answers = [one for one in calls if ANSWER in one.arguments]
    assert len(answers) == 1, "exactly one 201 is expected in the trace"
    answer = answers[0]
    in_log = [one for one in calls if log in one.path and one.began < answer.began]
    writes = [one.done for one in in_log if "write" in one.name]
    flushes = [one for one in in_log if one.name in {"fdatasync", "fsync"}]
    return bool(writes) and any(
        one.began > max(writes) and one.done < answer.began for one in flushes
    )

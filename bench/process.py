"""A process from outside, as Linux accounts for it: memory by kind, and whether it is at rest."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from bench.measurement import MeasurementError

IDLE_SHARE_MAX = 0.05
IDLE_SECONDS = 1.0
SETTLE_SECONDS_MAX = 180.0
_LINE = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Megabytes (10^6 bytes).

    Attributes:
        resident: RSS: every page in the process's tables, once for each time it is mapped.
        proportional: PSS: a page that is mapped n times counts 1/n each time.
        own: Pages that belong to no file: what the process needs and nobody else can use.
        file_pages: Pages of mapped files, of the libraries and of the database.
        highest: The greatest RSS so far.
    """

    resident: float
    proportional: float
    own: float
    file_pages: float
    highest: float


def memory_of(pid: int) -> Memory:
    sizes = _sizes(Path(f"/proc/{pid}/smaps_rollup")) | _sizes(Path(f"/proc/{pid}/status"))
    names = ("Rss", "Pss", "RssAnon", "RssFile", "VmHWM")
    return Memory(*(sizes[name] * 1_024 / 1e6 for name in names))


def _sizes(file: Path) -> dict[str, int]:
    text = file.read_text(encoding="ascii", errors="replace")
    return {name: int(kilobytes) for name, kilobytes in _LINE.findall(text)}


def wait_until_idle(pid: int) -> None:
    """Return once the process has used next to no processor for a second.

    Raises:
        MeasurementError: It is busy for minutes.
    """
    give_up_at = time.monotonic() + SETTLE_SECONDS_MAX
    before = processor_seconds(pid)
    while time.monotonic() < give_up_at:
        time.sleep(IDLE_SECONDS)
        now = processor_seconds(pid)
        if now - before <= IDLE_SHARE_MAX * IDLE_SECONDS:
            return
        before = now
    raise MeasurementError("the node does not come to rest")


def processor_seconds(pid: int) -> float:
    """What the process has computed so far."""
    return sum(_ticks(pid)[:2]) / _TICKS


def processor_seconds_of_family(pid: int) -> float:
    """The same of a process and its children, those that ended included."""
    whole = float(sum(_ticks(pid)))
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if _fields(int(folder.name))[1] == str(pid):
                whole += sum(_ticks(int(folder.name)))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return whole / _TICKS


def _ticks(pid: int) -> list[int]:
    """User and system time, of the process and of its children that ended."""
    return [int(field) for field in _fields(pid)[11:15]]


def _fields(pid: int) -> list[str]:
    # The name of the process, in brackets, may hold blanks; what follows is counted from there.
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(") ")[2].split()

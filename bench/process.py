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
    before = _processor_seconds(pid)
    while time.monotonic() < give_up_at:
        time.sleep(IDLE_SECONDS)
        now = _processor_seconds(pid)
        if now - before <= IDLE_SHARE_MAX * IDLE_SECONDS:
            return
        before = now
    raise MeasurementError("the node does not come to rest")


def _processor_seconds(pid: int) -> float:
    # The name of the process, in brackets, may hold blanks; user and system time are 12 and 13 on.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS

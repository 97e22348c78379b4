"""What the figures were taken on: enough to judge them, nothing that names the owner."""

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw

SYNC_PROBE_WRITES = 200
SYNC_PROBE_BYTES = 4_096


@dataclass(frozen=True)
class Machine:
    """Where and when.

    Attributes:
        syncs_per_second: fdatasync after a 4 KiB append, on the disk of the scratch folder.
    """

    processor: str
    cores: int
    memory_gib: float
    system: str
    python: str
    sqlite: str
    syncs_per_second: float
    day: str

    @property
    def sentence(self) -> str:
        hardware = f"{self.processor}, {self.cores} cores, {self.memory_gib:.0f} GiB"
        software = f"{self.system}, CPython {self.python}, SQLite {self.sqlite}"
        return (
            f"{self.day}: {hardware}; {software}; {self.syncs_per_second:,.0f} fdatasyncs a second"
        )


def describe(scratch: Path) -> Machine:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=pages / 2**30,
        system=f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        python=platform.python_version(),
        sqlite=apsw.sqlite_lib_version(),
        syncs_per_second=_syncs_per_second(scratch / "sync-probe"),
        day=datetime.now(tz=UTC).date().isoformat(),
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _syncs_per_second(file: Path) -> float:
    block = b"\0" * SYNC_PROBE_BYTES
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        started = time.perf_counter()
        for _ in range(SYNC_PROBE_WRITES):
            os.write(descriptor, block)
            os.fdatasync(descriptor)
        return SYNC_PROBE_WRITES / (time.perf_counter() - started)
    finally:
        os.close(descriptor)
        file.unlink()

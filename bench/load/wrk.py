"""Run `wrk` against a server and read what it found."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.baseline.rows import CONTENT_CHARACTERS, fragments
from bench.measurement import MeasurementError

STORE = Path(__file__).with_name("store.lua")
GET = Path(__file__).with_name("get.lua")
REPLY_SECONDS_MAX = 10  # a request slower than this counts as broken
RUN_SECONDS_EXTRA = 30.0  # what wrk may take beyond the run itself, before it is given up
RESULT_MARK = "RESULT "


@dataclass(frozen=True)
class LoadResult:
    """What one run under load gave; every request was answered with success."""

    per_second: float
    p50_ms: float
    p99_ms: float
    seconds: float

    @property
    def requests(self) -> float:
        """How many were answered."""
        return self.per_second * self.seconds


class LoadDriver:
    """Stores memories over HTTP with a given number of clients; no title is used twice.

    Args:
        scratch: A folder for the pool of words that the script draws from.
    """

    def __init__(self, scratch: Path) -> None:
        program = shutil.which("wrk")
        if program is None:
            raise MeasurementError("wrk is not installed (Debian and Ubuntu: apt-get install wrk)")
        self._program = program
        self._pool = scratch / "fragments.txt"
        self._pool.write_text("\n".join(fragments()) + "\n", encoding="ascii")
        self._runs = count(1)

    def stores(self, url: str, clients: int, seconds: float, agent: str = "local") -> LoadResult:
        """Store as fast as `clients` connections can, each sending when its last was answered.

        Raises:
            MeasurementError: A request was refused or broken: such a rate says nothing.
        """
        words = (f"run{next(self._runs)}", str(self._pool), str(CONTENT_CHARACTERS), agent)
        return self._run(STORE, url, clients, seconds, words)

    def gets(self, url: str, clients: int, seconds: float) -> LoadResult:
        """Ask for one URL as `stores` stores.

        Raises:
            MeasurementError: as `stores`.
        """
        return self._run(GET, url, clients, seconds, ())

    def _run(
        self, script: Path, url: str, clients: int, seconds: float, words: Sequence[str]
    ) -> LoadResult:
        # One thread is enough: it makes far more requests than any server here takes.
        load = ["-t1", f"-c{clients}", f"-d{seconds:g}s", f"--timeout={REPLY_SECONDS_MAX}s"]
        finished = subprocess.run(
            [self._program, *load, "-s", str(script), url, "--", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + RUN_SECONDS_EXTRA,
        )
        return parse(finished.stdout + finished.stderr)


def parse(output: str) -> LoadResult:
    """Read the line that the script prints at the end.

    Raises:
        MeasurementError: There is none, or it tells of requests that failed.
    """
    lines = [line for line in output.splitlines() if line.startswith(RESULT_MARK)]
    if not lines:
        raise MeasurementError(f"wrk gave no result: {output.strip()[-300:]}")
    found = json.loads(lines[-1].removeprefix(RESULT_MARK))
    if found["refused"] or found["broken"] or not found["requests"]:
        raise MeasurementError(f"not every store succeeded: {found}")
    rate = found["requests"] / found["seconds"]
    return LoadResult(rate, found["p50_ms"], found["p99_ms"], found["seconds"])

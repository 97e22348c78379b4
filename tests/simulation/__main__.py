"""Run seeds: `python -m tests.simulation [--first N] [--seeds N] [--json]`.

Every seed is one run of real nodes on virtual time. A seed that breaks a promise is printed with
the end of its trace and the command that runs it again; add it to `regressions.txt`.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

# Sets of texts are walked in an order that depends on this, so without it a seed says nothing.
HASH_SEED = "0"
CHUNK = 10
_MEMORY_DISK = Path("/dev/shm")


def run_chunk(first: int, count: int) -> tuple[Counter[str], list[tuple[int, str]], dict[int, str]]:
    """Run some seeds: the states reached, (seed, what broke) of each failure, seed → trace."""
    from tests.simulation.world import run_seed  # noqa: PLC0415  # after the process was set up

    logging.disable(logging.CRITICAL)
    states: Counter[str] = Counter()
    broken: list[tuple[int, str]] = []
    traces: dict[int, str] = {}
    root = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory(dir=root, prefix="mesh-") as folder:
            try:
                report = run_seed(seed, Path(folder))
            except Exception:  # noqa: BLE001 - whatever breaks, the next seed is to run
                broken.append((seed, traceback.format_exc()))
                continue
        states += report.states
        states["acknowledged"] += report.acked
        states["missed"] += report.missed
        traces[seed] = report.trace
    return states, broken, traces


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every seed kept its promises."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true", help="one document on standard output")
    asked = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": HASH_SEED})
    states, broken, traces = _run(asked.first, asked.seeds, asked.processes)
    document = {"states": states, "broken": broken, "traces": traces}
    listed = "\n".join(f"{count:>9} {name}" for name, count in sorted(states.items()))
    sys.stdout.write((json.dumps(document) if asked.json else listed) + "\n")
    return 1 if broken else 0


def _run(
    first: int, seeds: int, processes: int
) -> tuple[Counter[str], list[tuple[int, str]], dict[int, str]]:
    states: Counter[str] = Counter()
    broken: list[tuple[int, str]] = []
    traces: dict[int, str] = {}
    began, done = time.monotonic(), 0
    with ProcessPoolExecutor(processes) as pool:
        chunks = [
            pool.submit(run_chunk, start, min(CHUNK, first + seeds - start))
            for start in range(first, first + seeds, CHUNK)
        ]
        for chunk in as_completed(chunks):
            found, failures, hashes = chunk.result()
            states += found
            broken += failures
            traces |= hashes
            done += len(hashes) + len(failures)
            _progress(done, seeds, began, failures)
    return states, sorted(broken), traces


def _progress(done: int, seeds: int, began: float, failures: list[tuple[int, str]]) -> None:
    for seed, text in failures:
        again = f"python -m tests.simulation --first {seed} --seeds 1"
        sys.stderr.write(f"\nseed {seed} broke a promise; again: {again}\n{text}\n")
    rate = done / max(0.001, time.monotonic() - began)
    end = "\n" if done == seeds else ""
    sys.stderr.write(f"\r{done} of {seeds} seeds, {rate:.1f} a second{end}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

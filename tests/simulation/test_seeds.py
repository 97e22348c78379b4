"""Five hundred lives of a mesh, each from a seed, and what must hold after every one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.log import epochs
from app.log.forgetting import MARGIN
from app.log.hlc import pack
from app.log.kinds.life import Delete
from app.log.registers import LastWriter
from app.replication.forgetting import Forgetting
from app.replication.guard import OriginGuard
from app.replication.quorum import Quorum
from app.replication.truncating import Truncating
from tests.integration.node import REPOSITORY
from tests.simulation.world import run_seed

SEEDS = 500
MUTANT_SEEDS = 60
REGRESSIONS = Path(__file__).with_name("regressions.txt")
RARE = (
    "fault set_back",
    "fault skew",
    "did restore",
    "did purge",
    "did consolidate",
    "did invalidate",
    "did embed",
    "missed timeout",
    "missed unreachable",
    "pulled",
    "renewals",
    "a name has a loser",
    "passed absence",
    "passed long_absence",
    "passed leaving",
    "passed joining",
    "expired",
    "truncated",
    "tombstones dropped",
    "snapshots",
    "gave way",
    "quarantine below_tombstones",
)
"""States that are easy to miss: a run that never reaches them proves little."""


def simulated(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--json", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_promises_hold_whatever_happens():
    found = simulated("--seeds", str(SEEDS))
    assert not found["broken"], found["broken"][0][1]
    reached = found["states"]
    assert [name for name in RARE if not reached.get(name)] == []


def test_a_seed_is_one_life():
    once = simulated("--first", "3", "--seeds", "4", "--processes", "1")
    again = simulated("--first", "3", "--seeds", "4", "--processes", "1")
    assert once["traces"] == again["traces"]
    assert len(set(once["traces"].values())) == 4


def test_seeds_that_broke_a_promise_once():
    lines = REGRESSIONS.read_text("utf-8").splitlines()
    for seed in (line for line in lines if line and not line.startswith("#")):
        found = simulated("--first", seed, "--seeds", "1", "--processes", "1")
        assert not found["broken"], found["broken"][0][1]


def _acks_what_was_sent(patch: pytest.MonkeyPatch) -> None:
    """A peer counts as holding one entry more than it said."""
    acked = Quorum.acked

    def eager(self: Quorum, name: str, marks: Any) -> Any:
        return acked(self, name, [(origin, mark + 1) for origin, mark in marks])

    patch.setattr(Quorum, "acked", eager)


def _takes_whoever_came_last(patch: pytest.MonkeyPatch) -> None:
    """Registers that do not ask who wrote later."""
    patch.setattr(LastWriter, "join", lambda _, _left, right: right)


def _goes_on_under_a_used_origin(patch: pytest.MonkeyPatch) -> None:
    """A store that was set back gives its numbers away again, whatever peers say."""

    async def nothing(*_: object) -> bool:
        return False

    patch.setattr(epochs, "_reason", lambda *_: epochs.EpochReason.UNCHANGED)
    patch.setattr(OriginGuard, "compare", nothing)
    patch.setattr(OriginGuard, "forked", nothing)


def _forgets_what_it_deleted(patch: pytest.MonkeyPatch) -> None:
    """A deletion that changes nothing where it arrives."""
    patch.setattr(Delete, "effects", lambda *_: ())


def _cuts_logs_whoever_needs_them(patch: pytest.MonkeyPatch) -> None:
    """Logs are cut to their ends, whatever members have."""

    async def all_of_it(self: Truncating) -> int:
        heads = await self._store.heads()
        return await self._store.truncate_log({one.origin: one.seq for one in heads})

    patch.setattr(Truncating, "truncate", all_of_it)


def _forgets_the_dead_too_soon(patch: pytest.MonkeyPatch) -> None:
    """Tombstones go as soon as an entry may say so, whatever members have."""

    async def at_once(self: Forgetting) -> int:
        return max(0, pack(self._now_ms()) - MARGIN)

    patch.setattr(Forgetting, "_below", at_once)


def run_seeds(folder: Path) -> None:
    for seed in range(MUTANT_SEEDS):
        place = folder / str(seed)
        place.mkdir()
        run_seed(seed, place)


@pytest.mark.parametrize(
    "mutate",
    [
        _acks_what_was_sent,
        _takes_whoever_came_last,
        _goes_on_under_a_used_origin,
        _forgets_what_it_deleted,
        _cuts_logs_whoever_needs_them,
        _forgets_the_dead_too_soon,
    ],
)
def test_a_broken_mesh_is_found_out(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    mutate(monkeypatch)
    with pytest.raises(Exception, match=r"."):  # any promise may be the one that breaks
        run_seeds(tmp_path)

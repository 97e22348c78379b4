"""What is acknowledged survives losing everything that was not flushed, at any moment.

The disk is simulated (`disk.py`), the store and SQLite are real. What the disk is asked to keep is
what a real one must keep; whether the request reaches the operating system is shown by
`test_system_calls.py`.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import apsw
import pytest

from app.log.epochs import EpochReason
from app.store import schema
from app.store.sqlite.connection import FileOptions
from tests.contract.store import conftest as commands
from tests.faults.disk import LossyDisk, write_image
from tests.faults.lossy_vfs import LossyVfs
from tests.faults.stores import faults_of, losses, open_store, read_database
from tests.faults.workload import Account, Writer

WRITERS = 6
OPERATIONS = 20
CUTS = 12
NAME = "node.db"


@dataclass(frozen=True)
class Cut:
    """Power lost: what is on the disk then, and what the writers had been promised."""

    image: dict[str, bytes]
    accounts: list[Account]


@dataclass
class Scene:
    """A store on a lossy disk, its writers, and cuts at chosen changes of the disk."""

    folder: Path
    seed: int
    synchronous: str = "FULL"
    obeys_sync: bool = True
    cuts: list[Cut] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        schema.migrate(self.folder / NAME, lambda _: None)
        self.chance = Random(self.seed)
        self.disk = LossyDisk(self.folder, obeys_sync=self.obeys_sync)
        self.vfs = LossyVfs(f"lossy-{id(self)}", self.disk)
        self.file = FileOptions(
            self.folder / NAME, synchronous=self.synchronous, vfs=f"lossy-{id(self)}"
        )
        self.writers = [
            Writer(f"w{number}", Random(f"{self.seed}-{number}")) for number in range(WRITERS)
        ]

    def cut(self) -> None:
        # In this order: what is acknowledged before the image must be in it, and nothing that
        # was tried after it can be.
        acknowledged = [writer.acknowledged for writer in self.writers]
        image = self.disk.image(self.chance if self.chance.random() < 0.7 else None)
        accounts = [
            writer.account(count) for writer, count in zip(self.writers, acknowledged, strict=True)
        ]
        self.cuts.append(Cut(image, accounts))

    def cut_now_and_then(self, share: float) -> Callable[[], None]:
        def moment() -> None:
            if self.chance.random() < share:
                self.cut()

        return moment

    async def run(self) -> None:
        """Boot, write with all writers at once, close; cut on the way and at the end."""
        self.disk.moment = self.cut_now_and_then(0.02)
        store = open_store(self.file, self.seed, disk_sync=self.disk)
        async with asyncio.TaskGroup() as group:
            for writer in self.writers:
                group.create_task(writer.run(store, OPERATIONS))
        self.cut()
        await store.close()
        self.disk.moment = lambda: None
        self.cut()

    async def boot_again(self) -> None:
        """One more boot, cut at every change that it makes to the disk."""
        self.cuts.clear()
        self.disk.moment = self.cut
        store = open_store(self.file, self.seed + 1, disk_sync=self.disk)
        self.disk.moment = lambda: None
        await store.close()

    def chosen_cuts(self) -> list[Cut]:
        last = self.cuts[-2:]
        return self.chance.sample(self.cuts[:-2], min(CUTS, len(self.cuts) - 2)) + last


@pytest.fixture
def make_scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def make(seed: int, *, synchronous: str = "FULL", obeys_sync: bool = True) -> Scene:
        made.append(Scene(tmp_path / "run", seed, synchronous, obeys_sync))
        return made[-1]

    yield make
    for scene in made:
        scene.vfs.unregister()


def losses_at(folder: Path, cut: Cut) -> list[str]:
    """What is on the disk after a cut and should not be, or should be and is not."""
    write_image(cut.image, folder)
    try:
        found = read_database(folder / NAME)
    except apsw.Error as error:
        return [f"unreadable: {error}"]
    return losses(found.contents, cut.accounts)


async def reopened(folder: Path, seed: int) -> EpochReason:
    """Boot on what was left, hold that all of it fits together and takes writes, and close."""
    store = open_store(FileOptions(folder / NAME), seed)
    await store.submit(commands.Put(commands.memory("after-the-loss")))
    status = await store.status()
    await store.close()
    assert faults_of(folder / NAME) == []
    found = read_database(folder / NAME)
    assert found.contents["after-the-loss"] == "content of after-the-loss"
    assert status.vectors == found.vectors
    return store.identity.reason


async def cut_and_look(scene: Scene, folder: Path) -> None:
    await scene.run()
    cuts = scene.chosen_cuts()
    assert len(cuts) > CUTS // 2, "the run had too few moments to cut at"
    for number, cut in enumerate(cuts):
        found = folder / f"cut-{number}"
        assert losses_at(found, cut) == []
        reason = await reopened(found, scene.seed + 100)
        if any(account.tried for account in cut.accounts):
            assert reason is EpochReason.UNCHANGED, "who the node is was lost"


@pytest.mark.parametrize("seed", range(4))
async def test_no_acknowledged_write_is_lost_with_what_was_not_flushed(
    make_scene: Callable[..., Scene], tmp_path: Path, seed: int
):
    await cut_and_look(make_scene(seed), tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
async def test_no_acknowledged_write_is_lost_in_many_more_runs(
    make_scene: Callable[..., Scene], tmp_path: Path, seed: int
):
    await cut_and_look(make_scene(seed), tmp_path)


async def test_power_lost_at_any_step_of_a_boot_costs_neither_writes_nor_identity(
    make_scene: Callable[..., Scene], tmp_path: Path
):
    scene = make_scene(7)
    await scene.run()
    await scene.boot_again()
    assert len(scene.cuts) > 5
    for number, cut in enumerate(scene.cuts):
        folder = tmp_path / f"cut-{number}"
        assert losses_at(folder, cut) == []
        assert await reopened(folder, 200) is EpochReason.UNCHANGED


async def test_the_check_finds_what_a_store_that_does_not_flush_loses(
    make_scene: Callable[..., Scene], tmp_path: Path
):
    scene = make_scene(1, synchronous="OFF")
    await scene.run()
    after_the_last_answer = scene.cuts[-2]
    assert losses_at(tmp_path / "cut", after_the_last_answer) != []


async def test_the_check_finds_an_identity_that_was_not_flushed(
    make_scene: Callable[..., Scene], tmp_path: Path
):
    scene = make_scene(2, obeys_sync=False)
    await scene.run()
    folder = tmp_path / "cut"
    write_image(scene.cuts[-1].image, folder)
    assert await reopened(folder, 300) is EpochReason.SIDECAR_MISSING


async def test_a_damaged_or_lost_index_of_vectors_is_made_again_from_the_log(
    make_scene: Callable[..., Scene], tmp_path: Path
):
    """The index is only a cache: whatever became of its file, the boot after finds every vector."""
    scene = make_scene(3)
    await scene.run()
    whole = scene.cuts[-1].image
    name = f"{NAME}.vectors"
    saved = whole[name]
    chance = Random(3)
    for number in range(12):
        damaged = bytearray(saved)
        match number % 3:
            case 0:
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            case 1:
                del damaged[chance.randrange(len(damaged)) :]
            case _:
                damaged = bytearray(chance.randbytes(len(damaged)))
        folder = tmp_path / f"damage-{number}"
        write_image({**whole, name: bytes(damaged)}, folder)
        await reopened(folder, 400)
    without = tmp_path / "without"
    write_image({key: data for key, data in whole.items() if key != name}, without)
    await reopened(without, 400)

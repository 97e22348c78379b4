"""Killed outside of ordinary writing: at a boot, in a backup, in a restore."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from app.store import schema
from app.store.sqlite.connection import FileOptions
from tests.contract.store import conftest as commands
from tests.faults.conftest import MakeNode
from tests.faults.stores import Found, faults_of, open_store, read_database
from tests.faults.waiting import wait_for
from tests.faults.workload import DIM, vector_of
from tests.integration.node import REPOSITORY, Node, own_environment

ROWS = 1_000
SECONDS_MAX = 60.0


async def fill(path: Path, name: str, rows: int = ROWS) -> None:
    """Rows with vectors, large enough for a copy to take several steps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema.migrate(path, lambda _: None)
    chance = Random(name)
    store = open_store(FileOptions(path), seed=chance.randrange(1 << 30))
    ids = [f"{name}-{number}" for number in range(rows)]
    content = " ".join(chance.choices(("ash", "birch", "cedar"), k=200))
    await store.submit_all(
        [commands.Put(commands.memory(one, content=f"{content} {one}", tier="long")) for one in ids]
    )
    vectors = [[chance.random() + 0.1 for _ in range(DIM)] for _ in ids]
    await store.submit_all(
        [vector_of(one, vector) for one, vector in zip(ids, vectors, strict=True)]
    )
    await store.close()


def start_command(node: Node, *words: str) -> subprocess.Popen[bytes]:
    node.folder.mkdir(exist_ok=True)
    (node.folder / "config.toml").write_text(node.config)
    return subprocess.Popen(
        node.command(*words),
        cwd=REPOSITORY,
        env=own_environment(node.folder, {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool], what: str) -> None:
    """Kill at a moment, or let it be when it is done by then."""
    wait_for(lambda: reached() or process.poll() is not None, what, SECONDS_MAX)
    process.kill()
    process.wait(SECONDS_MAX)


def finish(node: Node, *words: str) -> None:
    assert start_command(node, *words).wait(SECONDS_MAX) == 0, f"{words[0]} failed"


def starts_soundly(node: Node) -> Found:
    node.start()
    assert node.stop() == 0
    assert faults_of(node.db) == []
    return read_database(node.db)


BOOT_STEPS: dict[str, Callable[[Node], bool]] = {
    "owner-announced": lambda node: str(node.pid) in text_of(node, ".lock"),
    "identity-written": lambda node: text_of(node, ".node") != node.environment["before"],
    "listening": lambda node: "listens on" in node.log,
}


def text_of(node: Node, suffix: str) -> str:
    path = node.db.with_name(node.db.name + suffix)
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("step", BOOT_STEPS)
async def test_a_node_killed_at_a_boot_can_boot_again(make_node: MakeNode, step: str):
    node = make_node()
    await fill(node.db, "m", rows=200)
    before = read_database(node.db)
    node.environment = {"before": text_of(node, ".node")}
    node.launch()
    wait_for(lambda: BOOT_STEPS[step](node) or node.wait(0) is not None, step)
    node.kill()
    after = starts_soundly(node)
    assert after.contents == before.contents
    assert after.heads == before.heads, "a kill at a boot costs no epoch once there was one"


@pytest.mark.parametrize("moment", ["begun", "half-way", "named"])
async def test_a_killed_backup_leaves_the_store_alone_and_no_half_of_a_snapshot(
    make_node: MakeNode, moment: str
):
    node = make_node()
    await fill(node.db, "m")
    folder = node.folder / "backups"
    enough = node.db.stat().st_size // 2
    reached: dict[str, Callable[[], bool]] = {
        "begun": lambda: any(folder.glob("*")),
        "half-way": lambda: any(one.stat().st_size >= enough for one in present(folder)),
        "named": lambda: any(folder.glob("*.db")),
    }
    before = read_database(node.db)
    kill_when(start_command(node, "backup", "--to", str(folder)), reached[moment], moment)
    for snapshot in folder.glob("*.db"):
        assert faults_of(snapshot) == [], "what has its name is whole"
        assert read_database(snapshot).contents == before.contents
    assert starts_soundly(node).contents == before.contents


def present(folder: Path) -> list[Path]:
    return [one for one in folder.glob("*") if one.exists()]


@pytest.mark.parametrize("moment", ["copying", "kept", "placed"])
async def test_a_killed_restore_leaves_the_old_store_or_the_new_one(
    make_node: MakeNode, moment: str
):
    node = make_node()
    await fill(node.db, "old")
    folder = node.folder / "backups"
    finish(node, "backup", "--to", str(folder))
    old = read_database(node.db)
    await fill(node.db, "new")
    new = read_database(node.db)
    inode = node.db.stat().st_ino
    reached: dict[str, Callable[[], bool]] = {
        "copying": lambda: node.db.with_name("node.db.restoring").exists(),
        "kept": lambda: any(node.folder.glob("*pre-restore*")),
        "placed": lambda: node.db.exists() and node.db.stat().st_ino != inode,
    }
    kill_when(start_command(node, "restore", "--from", str(folder)), reached[moment], moment)
    after = starts_soundly(node)
    assert after.contents in (old.contents, new.contents)
    if after.contents == old.contents:
        assert set(after.heads) > set(old.heads), "a store that was set back is a new epoch"


async def test_a_restored_store_writes_under_a_new_epoch(make_node: MakeNode):
    node = make_node()
    await fill(node.db, "old", rows=50)
    folder = node.folder / "backups"
    finish(node, "backup", "--to", str(folder))
    old = read_database(node.db)
    await fill(node.db, "new", rows=50)
    finish(node, "restore", "--from", str(folder))
    after = starts_soundly(node)
    assert after.contents == old.contents
    (fresh,) = set(after.heads) - set(old.heads)
    (former,) = old.heads
    assert fresh.partition(".")[0] == former.partition(".")[0]
    assert int(fresh.partition(".")[2]) > int(former.partition(".")[2])

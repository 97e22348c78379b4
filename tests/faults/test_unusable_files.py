"""A store that cannot be opened: the reason on stderr, an exit code of its own, data untouched."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from app.cli.exit_codes import ExitCode
from app.cli.program import run
from app.store import schema
from app.store.sqlite.connection import FileOptions
from tests.contract.store import conftest as commands
from tests.faults.mounts import read_only, small_disk
from tests.faults.stores import open_store

ROWS = 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that a node wrote and closed."""

    path = tmp_path_factory.mktemp("sound") / "node.db"
    schema.migrate(path, lambda _: None)

    async def fill() -> None:
        store = open_store(FileOptions(path), seed=1)
        rows = [commands.memory(f"m{number}", content="word " * 400) for number in range(ROWS)]
        await store.submit_all([commands.Put(row) for row in rows])
        await store.close()

    asyncio.run(fill())
    return path


@pytest.fixture
def database(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(sound, tmp_path / "node.db"))


def serve(database: Path, *arguments: str) -> int:
    """`ai-memory serve` in this process; returns the exit code."""
    config = database.with_name("config.toml")
    config.write_text('schema_version = 2\ntier = "keyword"\n')
    start = ["--config", str(config), "--db", str(database), "serve", "--port", "0"]
    return run([*start, *arguments], {"HOME": str(database.parent)})


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def flip_schema_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)  # behind the header: the root page of the schema
        file.write(Random(1).randbytes(400))


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def replace_by_text(path: Path) -> None:
    path.write_text("Dear diary, this is no database.\n" * 200)


def claim_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE schema_version SET version = ?", (version,))
        connection.commit()


def claim_revision(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()


@dataclass(frozen=True)
class Case:
    name: str
    damage: Callable[[Path], None]
    code: ExitCode
    words: str


CASES = [
    Case("flipped pages", flip_schema_page, ExitCode.DAMAGED, "damaged"),
    Case("cut short", cut_short, ExitCode.DAMAGED, "cut short"),
    Case("text", replace_by_text, ExitCode.DAMAGED, "not an SQLite database"),
    Case("other program", other_program, ExitCode.DAMAGED, "another program"),
    Case("newer", lambda path: claim_version(path, 58), ExitCode.NEWER_SCHEMA, "newer ai-memory"),
    Case("newer revision", claim_revision, ExitCode.NEWER_SCHEMA, "newer ai-memory"),
    Case("older", lambda path: claim_version(path, 56), ExitCode.OLDER_SCHEMA, "version 56"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_file_that_cannot_be_opened_is_named_and_left_alone(
    database: Path, capfd: pytest.CaptureFixture[str], case: Case
):
    case.damage(database)
    before = digest(database)
    assert serve(database) == case.code
    said = capfd.readouterr().err
    assert case.words in said
    assert str(database) in said
    assert "Traceback" not in said
    assert digest(database) == before


def test_damage_behind_a_sound_schema_is_named_and_left_alone(
    database: Path, capfd: pytest.CaptureFixture[str]
):
    with database.open("r+b") as file:
        size = database.stat().st_size
        for page in range(20, size // 4096 - 1):
            file.seek(page * 4096)
            file.write(Random(page).randbytes(4096))
    before = digest(database)
    code = serve(database, "--shutdown-grace-secs", "0")
    assert code == ExitCode.DAMAGED
    assert "damaged" in capfd.readouterr().err
    assert digest(database) == before


def test_a_read_only_file_is_named_and_left_alone(
    database: Path, capfd: pytest.CaptureFixture[str]
):
    before = digest(database)
    with read_only(database):
        code = serve(database)
    assert code == ExitCode.READ_ONLY
    said = capfd.readouterr().err
    assert "read-only" in said or "cannot be written" in said
    assert digest(database) == before


def test_a_read_only_folder_is_named_and_left_alone(
    database: Path, capfd: pytest.CaptureFixture[str]
):
    before = digest(database)
    (database.parent / "config.toml").write_text('schema_version = 2\ntier = "keyword"\n')
    with read_only(database.parent):
        start = ["--config", str(database.parent / "config.toml"), "--db", str(database)]
        code = run([*start, "serve", "--port", "0"], {"HOME": str(database.parent)})
    assert code == ExitCode.READ_ONLY
    assert str(database) in capfd.readouterr().err
    assert digest(database) == before


def test_a_full_disk_at_boot_is_named_and_the_data_left_alone(
    sound: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    size = sound.stat().st_size
    with small_disk(tmp_path / "disk", size + 32 * 1024) as disk:
        database = Path(shutil.copyfile(sound, disk / "node.db"))
        (disk / "config.toml").write_text('schema_version = 2\ntier = "keyword"\n')
        fill_up(disk)
        before = digest(database)
        start = ["--config", str(disk / "config.toml"), "--db", str(database)]
        code = run([*start, "serve", "--port", "0"], {"HOME": str(tmp_path)})
        said = capfd.readouterr().err
        assert code == ExitCode.DISK_FULL, said
        assert "full" in said or "space" in said
        assert digest(database) == before


def fill_up(disk: Path) -> None:
    blocks = iter(lambda: bytes(1_024), None)
    with (disk / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        file.writelines(blocks)

"""`backup` and `restore`: the whole store as one file beside its manifest."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from app.bootstrap.files import back_up, set_back
from app.bootstrap.sources import SystemClock
from app.cli.output import emit
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb
from app.domain.errors import InvalidInputError, NotFoundError
from app.domain.timestamps import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX: Final = "ai-memory-"
VERSION: Final = "0.7.0"
_STAMP: Final = "%Y-%m-%dT%H%M%SZ"
_HASHED_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands beside a snapshot."""

    snapshot: str
    sha256: str
    bytes: int
    source_db: str
    version: str
    created_at: str


@verb("backup")
@click.option("--to", default="./backups", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--keep",
    default=48,
    show_default=True,
    type=click.IntRange(min=0),
    help="Snapshots kept, the newest; 0 keeps all.",
)
def backup(session: Session, to: Path, keep: int) -> None:
    """Copy the store into a new file of a folder, while a node may go on writing.

    The agents' keys are not in it.
    """
    now = SystemClock().now()
    target = to / f"{PREFIX}{now.strftime(_STAMP)}.db"
    if target.exists():
        raise InvalidInputError(f"{target} exists already; wait a second")
    _make_folder(to)
    with Progress() as progress:
        back_up(session.database, target, progress.report)
        manifest = Manifest(
            snapshot=target.name,
            sha256=digest_of(target, lambda done, total: progress.report("hash", done, total)),
            bytes=target.stat().st_size,
            source_db=str(session.database),
            version=VERSION,
            created_at=format_instant(now),
        )
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    manifest_path(target).write_text(text, encoding="utf-8")
    for old in _superseded(to, keep):
        manifest_path(old).unlink(missing_ok=True)
        old.unlink()
    emit(session, asdict(manifest), f"backup: {target} ({manifest.bytes} bytes)")


@verb("restore")
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="A snapshot, or a folder whose newest one is taken.",
)
@click.option("--skip-verify", is_flag=True, help="Do without the manifest and its hash.")
def restore(session: Session, source: Path, skip_verify: bool) -> None:
    """Put a snapshot in the store's place. What was there is kept beside it.

    No node may have the store open.
    """
    snapshot = _chosen(source)
    database = session.database
    stamp = SystemClock().now().strftime(_STAMP)
    kept = _unused(database.parent, f"{database.stem}.pre-restore-{stamp}")
    with Progress() as progress:
        if not skip_verify:
            _verify(snapshot, lambda done, total: progress.report("verify", done, total))
        set_back(database, snapshot, kept, progress.report)
    if kept.exists():
        note(f"the database of before is {kept}")
    document = {"status": "restored", "from": str(snapshot), "to": str(database)}
    emit(session, document, f"restored: {snapshot} to {database}")


def manifest_path(snapshot: Path) -> Path:
    """The file that describes a snapshot."""
    return snapshot.with_name(snapshot.stem + ".manifest.json")


def digest_of(path: Path, report: Callable[[int, int], None]) -> str:
    """The file's SHA-256, in hex."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(_HASHED_BYTES):
            digest.update(block)
            done += len(block)
            report(done, total)
    return digest.hexdigest()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"cannot make the folder {folder}: {error.strerror}") from error


def _snapshots(folder: Path) -> list[Path]:
    """The oldest first: their names are times."""
    return sorted(folder.glob(f"{PREFIX}*.db"))


def _superseded(folder: Path, keep: int) -> list[Path]:
    return _snapshots(folder)[:-keep] if keep else []


def _chosen(source: Path) -> Path:
    if source.is_dir():
        found = _snapshots(source)
        if not found:
            raise NotFoundError(f"no snapshot in {source}")
        return found[-1]
    if not source.is_file():
        raise NotFoundError(f"no such snapshot: {source}")
    return source


def _verify(snapshot: Path, report: Callable[[int, int], None]) -> None:
    path = manifest_path(snapshot)
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        raise NotFoundError(f"no manifest {path}; --skip-verify does without") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(f"the manifest {path} cannot be read: {error}") from error
    if digest_of(snapshot, report) != expected:
        raise InvalidInputError(
            f"{snapshot} does not have the hash of its manifest; nothing was changed"
        )


def _unused(folder: Path, stem: str) -> Path:
    """A name that no file has yet: two restores may fall into one second."""
    numbered = (f"{stem}-{number}.db" for number in itertools.count(2))
    names = itertools.chain([f"{stem}.db"], numbered)
    return next(path for path in map(folder.joinpath, names) if not path.exists())

"""`sync`: reconcile this database with another file, in one direction or both."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal

import click

from app.bootstrap.files import back_up
from app.cli.connection import Node, connect
from app.cli.output import emit, rows_of
from app.cli.progress import Progress
from app.cli.session import Session
from app.cli.verb import verb
from app.domain.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.domain.memory import Json

    Row = Mapping[str, Json]

PAGE_ROWS: Final = 200
PEER: Final = "sync"
"""Under whose name the rows of another file are stamped."""
_STORE_VARIABLES: Final = frozenset({"AI_MEMORY_DB", "AI_MEMORY_STORE_URL"})

Direction = Literal["pull", "push", "merge"]


@dataclass
class Counts:
    """What one way came to."""

    new: int = 0
    update: int = 0
    noop: int = 0
    links: int = 0
    skipped: list[Json] = field(default_factory=list)

    @property
    def changed(self) -> int:
        return self.new + self.update

    def document(self) -> dict[str, Json]:
        return {
            "new": self.new,
            "update": self.update,
            "noop": self.noop,
            "links": self.links,
            "skipped": self.skipped,
        }


@verb("sync")
@click.argument("remote_db", type=click.Path(path_type=Path))
@click.option(
    "--direction",
    "-d",
    default="merge",
    show_default=True,
    type=click.Choice(["merge", "pull", "push"]),
    help="Whose rows go where; an older row never wins, whichever way it goes.",
)
@click.option("--trust-source", is_flag=True, help="Keep the owners that the other file names.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, row by row, and do nothing.")
def sync(
    session: Session, remote_db: Path, direction: Direction, trust_source: bool, dry_run: bool
) -> None:
    """Reconcile this database with another file.

    Rows that are new here become the caller's, unless --trust-source. Only a push or a merge
    writes to the other file.
    """
    if not remote_db.is_file():
        raise NotFoundError(f"there is no database {remote_db}")
    pulls, pushes = direction in {"pull", "merge"}, direction in {"push", "merge"}
    owner = None if trust_source else session.agent_id
    pulled, pushed = Counts(), Counts()
    with ExitStack() as stack, Progress() as progress:
        remote = remote_db
        if dry_run or not pushes:
            # A file that is only read stays as it is, whatever version wrote it.
            remote = stack.enter_context(_copied(remote_db, progress))
        there = stack.enter_context(_connected(session, remote))
        here = stack.enter_context(connect(session))
        if pulls:
            _copy(there, here, pulled, progress, owner=owner, dry_run=dry_run)
        if pushes:
            _copy(here, there, pushed, progress, owner=None, dry_run=dry_run)
    _report(session, direction, pulled, pushed, dry_run=dry_run)


@contextmanager
def _copied(database: Path, progress: Progress) -> Iterator[Path]:
    with TemporaryDirectory(prefix="ai-memory-sync-") as folder:
        copy = Path(folder) / "remote.db"
        back_up(database, copy, progress.report)
        yield copy


@contextmanager
def _connected(session: Session, database: Path) -> Iterator[Node]:
    """The node of another file: one that serves it, or one opened for this command."""
    environ = {key: text for key, text in session.environ.items() if key not in _STORE_VARIABLES}
    other = Session(environ, replace(session.options, db=None))
    other.resolve({"store_url": f"sqlite://{database.resolve()}"})
    with connect(other) as node:
        yield node


def _copy(
    source: Node,
    target: Node,
    counts: Counts,
    progress: Progress,
    *,
    owner: str | None,
    dry_run: bool,
) -> None:
    done = 0
    for page in _pages(source):
        body: dict[str, Json] = {
            "peer": PEER,
            "memories": page.get("memories"),
            "links": page.get("links"),
            "owner": owner,
            "dry_run": dry_run,
        }
        answer = target.call("POST", "/sync/pulled", body=body).body
        _count(answer, counts)
        done += len(rows_of(page.get("memories"))) + len(rows_of(page.get("links")))
        progress.report("sync", done, done + 1)


def _pages(node: Node) -> Iterator[Row]:
    cursor: str | None = None
    while True:
        page = node.call("GET", "/export", query={"limit": PAGE_ROWS, "cursor": cursor}).body
        yield page
        following = page.get("next_cursor")
        if not isinstance(following, str):
            return
        cursor = following


def _count(answer: Row, counts: Counts) -> None:
    counts.new += _number(answer.get("new"))
    counts.update += _number(answer.get("updated"))
    counts.noop += _number(answer.get("noop"))
    counts.links += _number(answer.get("links"))
    counts.skipped += [
        {"id": row.get("id"), "reason": row.get("code")}
        for row in rows_of(answer.get("results"))
        if row.get("status") == "skipped"
    ]


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _report(
    session: Session, direction: Direction, pulled: Counts, pushed: Counts, *, dry_run: bool
) -> None:
    ways = [("pull", pulled), ("push", pushed)]
    if dry_run:
        document: dict[str, Json] = {"dry_run": True, "direction": direction}
        document.update((name, counts.document()) for name, counts in ways)
        text = "\n".join(f"would {name}: {_line(counts)}" for name, counts in ways)
        emit(session, document, text)
        return
    skipped: Sequence[Json] = pulled.skipped + pushed.skipped
    keys: dict[Direction, dict[str, Json]] = {
        "pull": {"imported": pulled.changed},
        "push": {"exported": pushed.changed},
        "merge": {"pulled": pulled.changed, "pushed": pushed.changed},
    }
    document = {"direction": direction, **keys[direction], "skipped": list(skipped)}
    chosen = [(name, counts) for name, counts in ways if direction in {name, "merge"}]
    emit(session, document, "\n".join(f"{name}: {_line(counts)}" for name, counts in chosen))


def _line(counts: Counts) -> str:
    parts = f"{counts.new} new, {counts.update} updated, {counts.noop} the same"
    skipped = f", {len(counts.skipped)} skipped" if counts.skipped else ""
    return f"{parts}, {counts.links} links{skipped}"

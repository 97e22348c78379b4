"""`migrate`: a whole store from one address to another, proved equal at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from app.bootstrap.moving import FORMS, Address, address_of, move, plan
from app.cli.output import emit, table
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb
from app.domain.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.memory import Json

DIFFERS_EXIT: Final = 3
_MEMORIES: Final = "memory_state"


@verb("migrate")
@click.option("--from", "source", required=True, metavar="URL", help=f"The store. {FORMS}.")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    help="Where it goes: nothing yet, or an empty store. A password is better left to PGPASSWORD or"
    " a password file than written here.",
)
@click.option(
    "--batch",
    default=1_000,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Rows a transaction, at most.",
)
@click.option("--dry-run", is_flag=True, help="Only look and count.")
def migrate(session: Session, source: str, target: str, batch: int, dry_run: bool) -> int:
    """Move a whole store between SQLite files and PostgreSQL, in any direction.

    No node may use either meanwhile; the source is left as it is. Interrupted, the same command
    goes on where it was. Exit code 3: the target differs from the source in the end.
    """
    from_, to = (
        address_of(session.settings, source, "--from"),
        address_of(session.settings, target, "--to"),
    )
    with Progress() as progress:
        if dry_run:
            return _look(session, from_, to)
        outcome = move(from_, to, progress.report, batch)
    written = 0 if outcome.was_there else outcome.rows.get(_MEMORIES, 0)
    document = _document(from_, to, outcome.rows, written, dry_run=False) | {
        "batches": outcome.batches,
        "resumed": outcome.was_resumed,
        "already_there": outcome.was_there,
        "digest": outcome.digest.hex(),
        "verified": not outcome.differences,
        "errors": list(outcome.differences),
    }
    if outcome.differences:
        emit(session, document, "")
        note("ai-memory: the target differs from the source, and no node will open it:")
        for difference in outcome.differences:
            note(f"  {difference}")
        note("remove the target and move again; ai-memory doctor --scrub checks the source")
        return DIFFERS_EXIT
    what = "holds all of it already" if outcome.was_there else f"moved to {to}"
    text = table([*outcome.rows.items(), ("digest", outcome.digest.hex())])
    emit(session, document, f"{from_}: {what}; compared and found equal\n{text}")
    return 0


def _look(session: Session, source: Address, target: Address) -> int:
    found = plan(source, target)
    document = _document(source, target, found.rows, 0, dry_run=True) | {
        "batches": 0,
        "resumed": found.would_resume,
        "errors": [],
    }
    if found.occupied_by is not None:
        raise ConflictError(
            f"the target holds data already (table {found.occupied_by}): a store moves into an"
            " empty one only"
        )
    doing = "would go on with the move" if found.would_resume else "would move"
    emit(session, document, f"{doing} from {source} to {target}\n{table(list(found.rows.items()))}")
    return 0


def _document(
    source: Address, target: Address, rows: Mapping[str, int], written: int, *, dry_run: bool
) -> dict[str, Json]:
    return {
        "from_url": str(source),
        "to_url": str(target),
        "memories_read": rows.get(_MEMORIES, 0),
        "memories_written": written,
        "tables": dict(rows),
        "dry_run": dry_run,
    }

"""`reembed`: a vector of the configured model for every memory."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

import click

from app.cli.connection import Node, NodeRefusedError, connect
from app.cli.diagnosis import number
from app.cli.output import emit, table
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb

if TYPE_CHECKING:
    from app.domain.memory import Json

NO_EMBEDDER_EXIT: Final = 2
EMBEDDER_FAILED_EXIT: Final = 3
BATCH_ROWS: Final = 100

_NO_EMBEDDER: Final = "FEATURE_MISSING"
_BACKEND_STATUSES: Final = frozenset({502, 503})


@dataclass(frozen=True, slots=True)
class _Wanted:
    namespace: str | None
    batch: int

    def body(self, **more: Json) -> dict[str, Json]:
        place: dict[str, Json] = {} if self.namespace is None else {"namespace": self.namespace}
        return {**place, **more}


@verb("reembed")
@click.option("--namespace", "-n", help="Only here.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option(
    "--batch",
    default=BATCH_ROWS,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Memories a step.",
)
def reembed(session: Session, namespace: str | None, dry_run: bool, batch: int) -> int:
    """Replace every vector by one of the configured model.

    Exit codes: 2 no embedder is configured, 3 the embedder does not work.
    """
    wanted = _Wanted(namespace, batch)
    begun = perf_counter()
    with connect(session) as node, Progress() as progress:
        try:
            plan = node.call("POST", "/reembed", body=wanted.body(dry_run=True)).body
            if dry_run:
                emit(session, plan, table(list(plan.items())))
                return 0
            document = _run(node, wanted, int(number(plan.get("total_rows"))), progress)
        except NodeRefusedError as error:
            if error.status not in _BACKEND_STATUSES:
                raise
            note(f"ai-memory: {error.message}")
            is_off = error.code == _NO_EMBEDDER and session.settings.tier == "keyword"
            return NO_EMBEDDER_EXIT if is_off else EMBEDDER_FAILED_EXIT
    document["duration_ms"] = round((perf_counter() - begun) * 1000)
    emit(session, document, table(list(document.items())))
    return 0


def _run(node: Node, wanted: _Wanted, total: int, progress: Progress) -> dict[str, Json]:
    """Step by step until there is no next one."""
    done, skipped = 0, 0
    cursor: Json = None
    while True:
        more: dict[str, Json] = {} if cursor is None else {"cursor": cursor}
        step = node.call("POST", "/reembed", body=wanted.body(limit=wanted.batch, **more)).body
        done += int(number(step.get("reembedded")))
        skipped += int(number(step.get("skipped")))
        # Memories that came in meanwhile are done, too.
        progress.report("reembed", done + skipped, max(total, done + skipped))
        cursor = step.get("next_cursor")
        if cursor is None:
            break
    return {
        "total": done + skipped,
        "reembedded": done,
        "skipped": skipped,
        "model": step.get("model"),
        "dim": step.get("dim"),
    }

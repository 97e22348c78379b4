"""`reembed`: a vector of the configured model for every memory."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

import click

from app.cli.connection import Node, connect
from app.cli.diagnosis import number
from app.cli.output import emit, object_of, table
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb

if TYPE_CHECKING:
    from app.domain.memory import Json

NO_EMBEDDER_EXIT: Final = 2
EMBEDDER_FAILED_EXIT: Final = 3
_POLL_SECONDS: Final = 0.2
_STALLED_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class _Embedding:
    """What the node says of its embedder and of what still waits for it."""

    total: int
    backlog: int
    model: str | None
    dim: Json
    is_ready: bool


@verb("reembed")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--batch", type=click.IntRange(1, 10_000), help="Texts that are embedded at a time.")
def reembed(session: Session, dry_run: bool, batch: int | None) -> int:
    """Give every memory a vector of the configured model.

    A vector that this model has made of the memory's present text is kept: it would come out the
    same. Exit codes: 2 no embedder is configured, 3 the embedder does not work.
    """
    settings = session.resolve({"embeddings.backfill_batch": batch}).settings
    begun = perf_counter()
    with connect(session) as node, Progress() as progress:
        first = _look(node)
        if first.model is None:
            is_keyword = settings.tier == "keyword"
            note("no embedder: the tier is keyword" if is_keyword else "the embedder did not start")
            return NO_EMBEDDER_EXIT if is_keyword else EMBEDDER_FAILED_EXIT
        if dry_run:
            _count(session, first, settings.embeddings.backend)
            return 0
        last = _drain(node, first, progress)
    done = first.backlog - last.backlog
    document: dict[str, Json] = {
        "total": last.total,
        "reembedded": done,
        "skipped": last.total - done,
        "model": last.model,
        "dim": last.dim,
        "duration_ms": round((perf_counter() - begun) * 1000),
    }
    emit(session, document, table(list(document.items())))
    if last.backlog:
        note(f"{last.backlog} memories have no vector yet: the embedder makes no progress")
        return EMBEDDER_FAILED_EXIT
    return 0


def _look(node: Node) -> _Embedding:
    stats = node.call("GET", "/stats").body
    embedding = object_of(stats.get("embedding"))
    model = embedding.get("model")
    return _Embedding(
        total=int(number(stats.get("live"))),
        backlog=int(number(stats.get("embedding_backlog"))),
        model=model if isinstance(model, str) else None,
        dim=embedding.get("dim"),
        is_ready=embedding.get("ready") is True,
    )


def _count(session: Session, found: _Embedding, backend: str) -> None:
    document: dict[str, Json] = {
        "total_rows": found.total,
        "rows_with_embeddings": found.total - found.backlog,
        "rows_missing_embeddings": found.backlog,
        "target_model": found.model,
        "target_dim": found.dim,
        "backend": backend,
    }
    emit(session, document, table(list(document.items())))


def _drain(node: Node, first: _Embedding, progress: Progress) -> _Embedding:
    """Watch the node's own embedding until nothing is left, or nothing moves any more."""
    last, moved_at = first, perf_counter()
    while last.backlog and perf_counter() - moved_at < _STALLED_SECONDS:
        node.transport.pause(_POLL_SECONDS)
        now = _look(node)
        if now.backlog < last.backlog:
            moved_at = perf_counter()
        last = now
        done = max(0, first.backlog - last.backlog)
        progress.report("reembed", done, first.backlog)
        if not last.is_ready and not done:
            break
    return last

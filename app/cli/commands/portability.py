"""`export` and `import`: everything as one JSON document, page by page over the interface."""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from app.cli.connection import Node, NodeRefusedError, connect
from app.cli.output import emit, rows_of
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.domain.memory import Json

    Row = Mapping[str, Json]

PAGE_ROWS: Final = 500
BATCH_ROWS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 1_500_000
"""Below the 2 MiB that a body may have."""

_BAD_REQUEST: Final = frozenset({400, 413, 422})


@verb("export")
def export(session: Session) -> None:
    """Write all memories and links to standard output: the input of `import`."""
    out = sys.stdout
    with connect(session) as node, Progress() as progress:
        total = node.call("GET", "/stats").body.get("total")
        shown = total if isinstance(total, int) else 0
        count, links, exported_at = 0, 0, ""
        out.write('{\n  "memories": [')
        for page in _pages(node):
            exported_at = exported_at or str(page.get("exported_at"))
            count += _write(rows_of(page.get("memories")), is_first=count == 0)
            found = rows_of(page.get("links"))
            if found and not links:
                out.write('\n  ],\n  "links": [')
            links += _write(found, is_first=links == 0)
            progress.report("export", count, max(shown, count + 1))
        out.write("\n  ],\n" if links else '\n  ],\n  "links": [],\n')
        out.write(f'  "count": {count},\n  "exported_at": {json.dumps(exported_at)}\n}}\n')
        out.flush()


def _pages(node: Node) -> Iterator[Row]:
    cursor: str | None = None
    while True:
        page = node.call("GET", "/export", query={"limit": PAGE_ROWS, "cursor": cursor}).body
        yield page
        following = page.get("next_cursor")
        if not isinstance(following, str):
            return
        cursor = following


def _write(rows: Sequence[Row], *, is_first: bool) -> int:
    """Members of a JSON list at the depth where they stand."""
    for row in rows:
        text = json.dumps(row, indent=2, ensure_ascii=False).replace("\n", "\n    ")
        sys.stdout.write(f"{'' if is_first else ','}\n    {text}")
        is_first = False
    return len(rows)


@dataclass
class _Outcome:
    """What became of an import so far."""

    imported: int = 0
    restamped: int = 0
    errors: list[Json] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """Old id → the id of the row that it was merged into."""


@verb("import")
@click.option("--trust-source", is_flag=True, help="Keep the owners that the rows name.")
def import_(session: Session, trust_source: bool) -> None:
    """Read an export from standard input and store it, each row alone."""
    document = _document()
    memories, links = rows_of(document.get("memories")), rows_of(document.get("links"))
    outcome = _Outcome()
    with connect(session) as node, Progress() as progress:
        done, total = 0, len(memories) + len(links)
        for batch in _batches(memories):
            _send_memories(node, batch, outcome, trust_source=trust_source)
            done += len(batch)
            progress.report("import", done, total)
        for batch in _batches(links):
            _send_links(node, [_follow(link, outcome.moved) for link in batch], outcome)
            done += len(batch)
            progress.report("import", done, total)
    for error in outcome.errors:
        note(f"not imported: {error}")
    answer: dict[str, Json] = {
        "imported": outcome.imported,
        "restamped": outcome.restamped,
        "trusted_source": trust_source,
        "errors": outcome.errors,
    }
    emit(session, answer, f"imported {outcome.imported} memories, {len(outcome.errors)} errors")


def _document() -> Row:
    try:
        document = json.loads(sys.stdin.buffer.read())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"standard input is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("memories"), list):
        raise InvalidInputError('standard input is no export: it has no list "memories"')
    return document


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows in order, as many as one request takes."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        weight = len(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if batch and (len(batch) >= BATCH_ROWS_MAX or size + weight > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _send_memories(
    node: Node, rows: Sequence[Row], outcome: _Outcome, *, trust_source: bool
) -> None:
    waiting = deque([rows])
    while waiting:
        part = waiting.popleft()
        body: dict[str, Json] = {"memories": [dict(row) for row in part]}
        try:
            reply = node.call("POST", "/import", query={"trust_source": trust_source}, body=body)
        except NodeRefusedError as error:
            if error.status not in _BAD_REQUEST:
                raise
            if len(part) == 1:
                outcome.errors.append(f"{part[0].get('id')}: {error.message}")
                continue
            # One unreadable row makes a whole request unreadable: look for it by halves.
            middle = len(part) // 2
            waiting.extendleft([part[middle:], part[:middle]])
        else:
            _count(part, reply.body, outcome)


def _count(rows: Sequence[Row], reply: Row, outcome: _Outcome) -> None:
    imported, restamped = reply.get("imported"), reply.get("restamped")
    outcome.imported += imported if isinstance(imported, int) else 0
    outcome.restamped += restamped if isinstance(restamped, int) else 0
    for row, result in zip(rows, rows_of(reply.get("results")), strict=False):
        old, new = row.get("id"), result.get("id")
        if isinstance(old, str) and isinstance(new, str) and old != new:
            outcome.moved[old] = new
        if result.get("error") is not None:
            outcome.errors.append(f"{old}: {result['error']}")


def _send_links(node: Node, links: Sequence[Row], outcome: _Outcome) -> None:
    body: dict[str, Json] = {"memories": [], "links": [dict(link) for link in links]}
    try:
        node.call("POST", "/import", body=body)
    except NodeRefusedError as error:
        if error.status not in _BAD_REQUEST:
            raise
        outcome.errors.append(f"{len(links)} links: {error.message}")


def _follow(link: Row, moved: Mapping[str, str]) -> Row:
    """The link between the rows that its ends have become."""
    ends = {
        name: moved.get(str(link[name]), link[name])
        for name in ("source_id", "target_id")
        if name in link
    }
    return {**link, **ends}

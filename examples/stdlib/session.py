"""Load the corpus into a node over its REST API, ask the questions, say how well it answered."""

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from examples.stdlib.corpus import Document, iter_docstrings

QUESTIONS_FILE = Path(__file__).with_name("questions.toml")
PASS_RANK_MAX = 5
PASS_COUNT_MIN = 16
RECALL_LIMIT = 10
BATCH_ROWS_MAX = 500  # the node takes 1,000; smaller batches keep the bar moving
BATCH_BYTES_MAX = 1_500_000  # of the 2 MiB that a request body may have
BACKLOG_POLL_SECONDS = 1.0


class ExampleError(Exception):
    """The node refused something; the message is for the person at the terminal."""


class BulkReply(TypedDict):
    """What `POST /api/v1/memories/bulk` answers, as far as it is read here."""

    created: int
    errors: list[str]


class StatsReply(TypedDict):
    """What `GET /api/v1/stats` answers, as far as it is read here."""

    embedding_backlog: NotRequired[int]  # a node without embeddings has none


class RecalledMetadata(TypedDict):
    """The part of a memory's metadata that this example wrote."""

    object: NotRequired[str]


class RecalledMemory(TypedDict):
    """One row of a recall, as far as it is read here."""

    title: str
    score: float
    metadata: RecalledMetadata


class RecallReply(TypedDict):
    """What `POST /api/v1/recall` answers, as far as it is read here."""

    memories: list[RecalledMemory]
    mode: str


@dataclass(frozen=True)
class Question:
    """A question, and the objects of which any one is a right answer."""

    text: str
    gold: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What came back for one question.

    Attributes:
        rank: 1-based place of the best gold answer in the first ten, or None.
        found: The gold answer at that rank, else the object that came first.
        score: The score of `found`, as the node gave it.
    """

    question: str
    gold: tuple[str, ...]
    rank: int | None
    found: str
    score: float
    milliseconds: float


@dataclass(frozen=True)
class Outcome:
    """The whole run; `passed` is what the exit code says."""

    documents: int
    created: int
    load_seconds: float
    backlog_left: int
    mode: str
    answers: tuple[Answer, ...]
    in_top: int
    passed: bool


def read_questions(path: Path = QUESTIONS_FILE) -> tuple[Question, ...]:
    """Read a file of questions.

    Raises:
        ExampleError: The file cannot be read, or holds no questions.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["question"]
        return tuple(Question(entry["text"], tuple(entry["gold"])) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExampleError(f"{path} is no file of questions: {error!r}") from error


def load(client: httpx.Client, documents: Sequence[Document], progress: Progress) -> int:
    """Store the documents in bulk; rows that are there already are updated in place.

    Returns:
        How many rows the node says it took.

    Raises:
        ExampleError: The node refused a batch or a row.
    """
    task = progress.add_task("storing", total=len(documents))
    created = 0
    for batch in _batches(documents):
        body = b"[" + b",".join(batch) + b"]"
        reply = cast("BulkReply", _json(client.post("/api/v1/memories/bulk", content=body)))
        if reply["errors"]:
            refused = len(reply["errors"])
            raise ExampleError(f"the node refused {refused} rows, first: {reply['errors'][0]}")
        created += reply["created"]
        progress.advance(task, len(batch))
    return created


def wait_for_embeddings(client: httpx.Client, progress: Progress, deadline_seconds: float) -> int:
    """Wait until every row can be found by meaning.

    Returns:
        What is left of the backlog when the deadline has passed; 0 is the good case.
    """
    give_up_at = time.monotonic() + deadline_seconds
    left = _backlog(client)
    task = progress.add_task("embedding", total=left)
    highest = left
    while left and time.monotonic() < give_up_at:
        time.sleep(BACKLOG_POLL_SECONDS)
        left = _backlog(client)
        highest = max(highest, left)
        progress.update(task, total=highest, completed=highest - left)
    return left


def ask(client: httpx.Client, question: Question) -> tuple[Answer, str]:
    """Ask one question; also returns the mode in which the node answered."""
    started = time.perf_counter()
    body = {"context": question.text, "limit": RECALL_LIMIT}
    reply = cast("RecallReply", _json(client.post("/api/v1/recall", json=body)))
    milliseconds = (time.perf_counter() - started) * 1000
    names = [row["metadata"].get("object", row["title"]) for row in reply["memories"]]
    scores = [row["score"] for row in reply["memories"]]
    rank = next((place for place, name in enumerate(names, 1) if name in question.gold), None)
    shown = (rank or 1) - 1
    found, score = (names[shown], scores[shown]) if names else ("nothing", 0.0)
    answer = Answer(question.text, question.gold, rank, found, score, milliseconds)
    return answer, reply["mode"]


def run(
    url: str,
    questions: Sequence[Question],
    limit: int | None,
    deadline_seconds: float,
    console: Console,
) -> Outcome:
    """Do everything against the node at `url`; progress goes to `console`."""
    headers = {"content-type": "application/json"}
    with (
        httpx.Client(base_url=url, timeout=60.0, headers=headers) as client,
        Progress(*_columns(), console=console) as progress,
    ):
        reading = progress.add_task("reading", total=None)
        documents = list(islice(iter_docstrings(), limit))
        progress.update(reading, total=len(documents), completed=len(documents))
        started = time.monotonic()
        created = load(client, documents, progress)
        load_seconds = time.monotonic() - started
        backlog_left = wait_for_embeddings(client, progress, deadline_seconds)
        replies = [ask(client, question) for question in questions]
    answers = tuple(answer for answer, _ in replies)
    in_top = sum(answer.rank is not None and answer.rank <= PASS_RANK_MAX for answer in answers)
    return Outcome(
        documents=len(documents),
        created=created,
        load_seconds=load_seconds,
        backlog_left=backlog_left,
        mode=" and ".join(sorted({mode for _, mode in replies})),
        answers=answers,
        in_top=in_top,
        passed=in_top >= PASS_COUNT_MIN,
    )


def show(outcome: Outcome, console: Console) -> None:
    """Print the answers as a table."""
    table = Table(title=f"{outcome.documents:,} docstrings, recall mode: {outcome.mode}")
    table.add_column("question")
    table.add_column("right answer, else the first one")
    for heading in ("rank", "score", "ms"):
        table.add_column(heading, justify="right")
    for answer in outcome.answers:
        found = answer.found if answer.rank else f"[dim]{answer.found}[/dim]"
        rank = str(answer.rank) if answer.rank else "-"
        table.add_row(
            answer.question, found, rank, f"{answer.score:.3f}", f"{answer.milliseconds:.0f}"
        )
    console.print(table)
    if outcome.backlog_left:
        console.print(f"asked with {outcome.backlog_left} rows still waiting for their embedding")
    total = len(outcome.answers)
    verdict = "enough" if outcome.passed else f"{PASS_COUNT_MIN} are needed"
    console.print(
        f"{outcome.in_top} of {total} right answers among the first {PASS_RANK_MAX}: {verdict}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the example.

    Returns:
        0 if enough questions were answered, 1 if not, 2 if the node or the questions could not be
        used.
    """
    options = _parser().parse_args(arguments)
    progress_console = Console(stderr=True)
    try:
        questions = read_questions(options.questions)
        outcome = run(options.url, questions, options.limit, options.deadline, progress_console)
    except httpx.TransportError as error:
        progress_console.print(
            f"no node answers at {options.url} ({error}); start one with: make serve"
        )
        return 2
    except ExampleError as error:
        progress_console.print(str(error))
        return 2
    if options.json:
        sys.stdout.write(json.dumps(asdict(outcome), indent=2) + "\n")
    else:
        show(outcome, Console())
    return 0 if outcome.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:9077", help="the node (default: %(default)s)")
    add(
        "--questions",
        type=Path,
        default=QUESTIONS_FILE,
        metavar="FILE",
        help="the questions to ask (default: questions.toml beside this script)",
    )
    add("--limit", type=int, default=None, help="store only the first N docstrings")
    add("--deadline", type=float, default=1800.0, help="seconds to wait for embeddings")
    add("--json", action="store_true", help="print the result as JSON")
    return parser


def _columns() -> tuple[ProgressColumn, ...]:
    name = TextColumn("{task.description:>9}")
    return (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def _batches(documents: Sequence[Document]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    batch_bytes = 0
    for document in documents:
        row = json.dumps(_memory(document)).encode()
        if batch and (len(batch) == BATCH_ROWS_MAX or batch_bytes + len(row) > BATCH_BYTES_MAX):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(row)
        batch_bytes += len(row) + 1
    if batch:
        yield batch


def _memory(document: Document) -> dict[str, object]:
    """Build a row of the bulk body: kept for good, and readable by every agent of the node."""
    return {
        "title": document.title,
        "content": document.content,
        "namespace": document.namespace,
        "tier": "long",
        "tags": ["python", "stdlib", document.kind],
        "source": "import",
        "metadata": {"object": document.name, "scope": "collective"},
    }


def _backlog(client: httpx.Client) -> int:
    return cast("StatsReply", _json(client.get("/api/v1/stats"))).get("embedding_backlog", 0)


def _json(response: httpx.Response) -> object:
    if response.is_error:
        request = response.request
        answer = f"{response.status_code}: {response.text[:300]}"
        raise ExampleError(f"{request.method} {request.url} gave {answer}")
    return response.json()

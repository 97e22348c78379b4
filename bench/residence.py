"""What a node with a large store takes: memory while it serves, and time until it serves."""

import time
from collections.abc import Callable, Sequence

from bench.baseline.raw_embedding import open_embedder
from bench.corpus_store import copied
from bench.load.client import Client
from bench.load.servers import started_node
from bench.measurement import Finding, Measurement, Options, Spread, at_most
from bench.process import Memory, memory_of, wait_until_idle
from bench.questions import fresh
from tests.integration.node import Node

ROWS_DEFAULT = 100_000
RECALLS = 200
STORES = 50
TIER = "semantic"


def run(options: Options) -> tuple[Finding, ...]:
    row_count = options.rows or ROWS_DEFAULT
    folder = options.scratch / "residence"
    embedder = open_embedder()
    try:
        questions = copied(row_count, folder, embedder).questions
    finally:
        embedder.close()
    memories: list[Memory] = []
    after_stop: list[float] = []
    after_kill: list[float] = []
    with started_node(folder, TIER) as node:
        for number in range(options.repeats):
            memories.append(_served(node, fresh(questions, RECALLS, number)))
            node.stop()
            after_stop.append(_boot_seconds(node))
            _store_some(node, number)
            node.kill()
            after_kill.append(_boot_seconds(node))
    return (*_of_memory(memories), *_of_boot(after_stop, after_kill))


def _served(node: Node, asked: Sequence[str]) -> Memory:
    """Memory of a node that has answered and is at rest."""
    with Client(node.url) as client:
        for question in asked:
            client.recall(question)
    wait_until_idle(node.pid)
    return memory_of(node.pid)


def _boot_seconds(node: Node) -> float:
    started = time.perf_counter()
    node.start()
    return time.perf_counter() - started


def _store_some(node: Node, number: int) -> None:
    """Leave something that no checkpoint and no snapshot has seen."""
    with Client(node.url) as client:
        for serial in range(STORES):
            text = f"note {number}-{serial}"
            client.post(
                "/api/v1/memories", f'{{"title":"{text}","content":"about {text}"}}'.encode()
            )


def _of_memory(memories: Sequence[Memory]) -> tuple[Finding, ...]:
    def of(pick: Callable[[Memory], float]) -> Spread:
        return Spread.of(pick(one) for one in memories)

    return (
        Finding(
            "memory after recalls, RSS",
            "MB",
            of(lambda m: m.resident),
            at_most(600.0),
        ),
        Finding("the same, PSS: no page counted twice", "MB", of(lambda m: m.proportional)),
        Finding("of it pages of no file", "MB", of(lambda m: m.own)),
        Finding("of it pages of mapped files", "MB", of(lambda m: m.file_pages)),
        Finding("greatest RSS of the process, boot included", "MB", of(lambda m: m.highest)),
    )


def _of_boot(after_stop: Sequence[float], after_kill: Sequence[float]) -> tuple[Finding, ...]:
    return (
        Finding("boot to the first 200, after SIGTERM", "s", Spread.of(after_stop), at_most(3.0)),
        Finding("boot to the first 200, after SIGKILL", "s", Spread.of(after_kill), at_most(3.0)),
    )


MEASUREMENT = Measurement(
    "residence",
    "A node with the local model on a large store: its memory after 200 recalls, and the time from"
    " the start of its process to the first 200 of `/health`, with the file in the page cache."
    " RSS counts; a page of the database that several connections have mapped counts in it once for"
    " each of them, in PSS once. The kernel takes pages of files back when somebody needs room.",
    run,
)

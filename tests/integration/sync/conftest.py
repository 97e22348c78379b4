"""Nodes of v0.7.0 beside nodes of this release."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.node import Node
from tests.integration.sync.old_node import OldNode

WAIT_SECONDS_MAX = 60.0


class Client:
    """What a user does with our node."""

    def __init__(self, node: Node) -> None:
        self.http = httpx.Client(base_url=f"{node.url}/api/v1", trust_env=False, timeout=60)

    def close(self) -> None:
        self.http.close()

    def ask(
        self, method: str, path: str, expected: Sequence[int] = (200, 201), **more: Any
    ) -> dict[str, Any]:
        reply = self.http.request(method, path, **more)
        assert reply.status_code in expected, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def store(self, title: str, **fields: object) -> dict[str, Any]:
        body = {"title": title, "content": f"text of {title}", "namespace": "work", **fields}
        memory: dict[str, Any] = self.ask("POST", "/memories", json={"tier": "long", **body})[
            "memory"
        ]
        return memory

    def titles(self) -> set[str]:
        answer = self.ask("GET", "/memories", params={"limit": 1000})
        return {one["title"] for one in answer["memories"]}

    def total(self) -> int:
        total: int = self.ask("GET", "/memories", params={"limit": 1})["total"]
        return total


@dataclass
class Pair:
    """A node of ours and its v0.7.0 peer."""

    node: Node
    old: OldNode
    ours: Client


def start_pair(folder: Path, stack: ExitStack, old: OldNode, *arguments: str) -> Pair:
    """Serve the old node and start ours beside it."""
    stack.enter_context(old.serving())
    words = ("--quorum-peers", old.url, "--catchup-interval-secs", "1", *arguments)
    environment = {
        "AI_MEMORY_FED_TRUST_BODY_AGENT_ID": "1",
        "AI_MEMORY_FED_SYNC_TRUST_PEER": "1",
        "AI_MEMORY_FED_IDENTITY": "host:new-node",
    }
    node = Node(folder, arguments=words, environment=environment)
    stack.callback(node.close)
    ours = Client(node.start())
    stack.callback(ours.close)
    return Pair(node, old, ours)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair for tests that keep to rows of their own; writes wait for the old node's copy."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("pair")
        yield start_pair(folder, stack, OldNode(), "--quorum-writes", "2")


@pytest.fixture
def make_pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """Pairs of a test's own."""
    with ExitStack() as stack:
        yield lambda old, *arguments: start_pair(tmp_path / "node", stack, old, *arguments)


def until(condition: Callable[[], object], seconds: float = WAIT_SECONDS_MAX) -> None:
    """Wait for what a test expects to happen."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.02)

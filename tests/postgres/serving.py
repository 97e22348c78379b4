"""A `serve` process on a PostgreSQL store."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typing_extensions import override

from tests.integration.node import SERVE_CONFIG, Node


@dataclass
class ServerNode(Node):
    """A node whose folder holds its lock and its identity only."""

    @override
    def command(self, *words: str) -> list[str]:
        return [word for word in super().command(*words) if word not in {"--db", str(self.db)}]


MakeServing = Callable[..., ServerNode]


@pytest.fixture
def make_serving(tmp_path: Path) -> Iterator[MakeServing]:
    """Make nodes at the keyword tier, not started yet, on the store of an address."""
    made: list[ServerNode] = []

    def make(url: str, *arguments: str) -> ServerNode:
        folder = tmp_path / f"node-{len(made)}"
        # Above the first section.
        config = f'db = "{folder / "node.db"}"\n{SERVE_CONFIG.format(tier="keyword")}'
        made.append(ServerNode(folder, config, ("--store-url", url, *arguments)))
        return made[-1]

    yield make
    for node in made:
        node.close()

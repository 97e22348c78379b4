"""Nodes on a PostgreSQL store, which a test need not end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres.served import ServerNode

MakeServing = Callable[..., ServerNode]


@pytest.fixture
def make_serving(tmp_path: Path) -> Iterator[MakeServing]:
    """Make nodes at the keyword tier, not started yet, on the store of an address."""
    made: list[ServerNode] = []

    def make(url: str, *arguments: str) -> ServerNode:
        made.append(ServerNode.on(tmp_path / f"node-{len(made)}", url))
        made[-1].arguments = arguments
        return made[-1]

    yield make
    for node in made:
        node.close()

"""Real nodes for the fault tests; whatever still runs at the end of a test is killed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.node import SERVE_CONFIG, Node

MakeNode = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    """Make nodes at the keyword tier, not started yet, in a folder of their own or a given one."""
    made: list[Node] = []

    def make(folder: Path | None = None, *arguments: str) -> Node:
        own = tmp_path / f"node-{len(made)}" if folder is None else folder
        made.append(Node(own, SERVE_CONFIG.format(tier="keyword"), arguments))
        return made[-1]

    yield make
    for node in made:
        node.close()

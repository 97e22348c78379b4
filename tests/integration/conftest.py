"""Running nodes for the integration tests: real processes, each on a database of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.integration.node import SERVE_CONFIG, Node

NodeFactory = Callable[..., Node]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[NodeFactory]:
    """Make nodes that are not started yet; whatever still runs at the end of the test is killed."""
    made: list[Node] = []

    def make(
        config: str = SERVE_CONFIG.format(tier="keyword"),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Node:
        folder = tmp_path / f"node-{len(made)}"
        made.append(Node(folder, config, arguments, environment or {}))
        return made[-1]

    yield make
    for node in made:
        node.close()


@pytest.fixture
def node(make_node: NodeFactory) -> Node:
    """A running node with the settings of `make serve`, at the keyword tier."""
    return make_node().start()

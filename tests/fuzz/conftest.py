"""Running nodes, and one that read-only attacks share; anybody may push to them."""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import NodeFactory, make_node
from tests.integration.node import Node

__all__ = ("make_node", "node", "shared_node")

OPEN_TO_PEERS = {
    "AI_MEMORY_FED_TRUST_BODY_AGENT_ID": "1",
    "AI_MEMORY_FED_SYNC_TRUST_PEER": "1",
}


@pytest.fixture
def node(make_node: NodeFactory) -> Node:  # a fixture of that name
    """A running node of a test's own."""
    return make_node(environment=OPEN_TO_PEERS).start()


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for a whole file of tests."""
    shared = Node(tmp_path_factory.mktemp("shared"), environment=OPEN_TO_PEERS).start()
    yield shared
    shared.close()

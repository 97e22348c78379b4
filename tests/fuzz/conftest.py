"""Running nodes, as the integration tests have them, and one that read-only attacks share."""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import make_node, node
from tests.integration.node import Node

__all__ = ("make_node", "node", "shared_node")


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for a whole file of tests."""
    shared = Node(tmp_path_factory.mktemp("shared")).start()
    yield shared
    shared.close()

"""Running nodes, as the integration tests have them."""

from tests.integration.conftest import make_node, node

__all__ = ("make_node", "node")

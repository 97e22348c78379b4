"""What must be true of a node after hostile traffic."""

import httpx

from tests.faults.stores import faults_of
from tests.integration.node import Node


def assert_sound(node: Node) -> None:
    """It runs, is well, met no fault of its own, ends when asked, and its file is whole."""
    health = httpx.get(f"{node.url}/api/v1/health", trust_env=False)
    assert health.status_code == 200, health.text
    assert node.stop() == 0, node.log
    for sign in ("request failed", "Traceback", "Exception in ASGI"):
        assert sign not in node.log
    assert faults_of(node.db) == []

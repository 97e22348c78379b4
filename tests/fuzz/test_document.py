"""The node against requests made from its own description (OpenAPI)."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.fuzz.promises import ROUTES_FILE, WITHOUT_FEATURE
from tests.fuzz.seeds import store_seeds
from tests.fuzz.sound import assert_sound
from tests.integration.node import REPOSITORY, Node, own_environment

SETTINGS = REPOSITORY / "tests/fuzz/schemathesis.toml"
REPORT_CHARACTERS = 20_000

# They need what the fuzzer hits by luck only: a secret, a key on the curve, a model, a state of two
# rows at once. Every other route must have done its work at least once, not only refused.
HARD_TO_PLEASE = {
    *WITHOUT_FEATURE,
    "GET /api/v1/kg/timeline",
    "POST /api/v1/archive/{memory_id}/restore",
    "POST /api/v1/kg/invalidate",
    "POST /api/v1/links",
    "POST /api/v1/subscriptions",
    "POST /api/v1/consolidate",
    "PUT /api/v1/agents/{agent_id}/pubkey",
    "POST /api/v1/links/verify",
    "POST /api/v1/sync/push",
}


def fuzz(node: Node, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer, a process of its own, over the document that the node serves."""
    start = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(SETTINGS), "run"]
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.fuzz.promises",
        "PYTHONPATH": str(REPOSITORY),
        ROUTES_FILE: str(folder / "routes.json"),
    }
    return subprocess.run(
        [*start, f"{node.url}/schema/openapi.json", "--no-color", *arguments],
        cwd=folder,
        env=own_environment(folder, hooks),
        capture_output=True,
        text=True,
        check=False,
    )


def routes_of(node: Node) -> set[str]:
    document = httpx.get(f"{node.url}/schema/openapi.json", trust_env=False).json()
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }


def assert_the_node_keeps_its_promises(
    node: Node, arguments: Sequence[str], folder: Path
) -> set[str]:
    """Return the routes that never did their work."""
    store_seeds(node.url)
    routes = routes_of(node)

    run = fuzz(node, arguments, folder)

    assert run.returncode == 0, f"{run.stdout[-REPORT_CHARACTERS:]}\n{run.stderr}"
    met = json.loads((folder / "routes.json").read_text(encoding="utf-8"))
    assert sorted(routes - set(met["asked"])) == []
    assert_sound(node)
    return routes - set(met["succeeded"])


def test_every_described_request_gets_a_described_reply(node, tmp_path):
    """Valid and invalid ones, one after another and in chains, on every route."""
    arguments = ("--seed", "7", "--max-examples", "6")

    never_done = assert_the_node_keeps_its_promises(node, arguments, tmp_path)

    assert sorted(never_done - HARD_TO_PLEASE) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_every_described_request_gets_a_described_reply_for_long(node, tmp_path, seed):
    """What succeeds is left to luck: long runs erase the ids that the settings know."""
    arguments = ("--seed", str(seed), "--max-examples", "150")

    assert_the_node_keeps_its_promises(node, arguments, tmp_path)

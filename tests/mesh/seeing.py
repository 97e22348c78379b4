"""Asking the nodes of a running mesh, and waiting until they are equal."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.faults.waiting import wait_for
from tools.fleet.fleet import Fleet, FleetNode

EQUAL_SECONDS_MAX = 60.0
MEMORIES = "/api/v1/memories"
AGENT = "ai:owner"
ADMIN_CONFIG = """\
schema_version = 2
tier = "{tier}"

[limits]
max_memories_per_day = "unlimited"
max_storage_bytes = "unlimited"
max_links_per_day = "unlimited"

[admin]
agent_ids = ["ai:owner"]
"""


def allow_admins(fleet: Fleet) -> None:
    """Let `AGENT` use the admin routes of every node from its next start on."""
    for node in fleet:
        text = ADMIN_CONFIG.format(tier=fleet.options.tier)
        (node.folder / "config.toml").write_text(text, "utf-8")
        node.environment["AI_MEMORY_ADMIN_HEADER_TRUST"] = "1"


def client_of(fleet: Fleet, node: FleetNode) -> httpx.Client:
    """A client of one node, as `AGENT`."""
    return httpx.Client(
        base_url=node.url,
        verify=fleet.client_context(),
        headers={"X-Agent-Id": AGENT},
        timeout=20,
        trust_env=False,
    )


def status_of(fleet: Fleet, node: FleetNode) -> dict[str, Any]:
    """The mesh as the node sees it."""
    with client_of(fleet, node) as client:
        found: dict[str, Any] = client.get("/api/v1/federation/status").json()
        return found


def is_connected(fleet: Fleet, nodes: Sequence[FleetNode] | None = None) -> bool:
    """Whether each of these nodes finds all of its peers up."""
    return all(
        {one["state"] for one in status_of(fleet, node)["peers"]} == {"up"}
        for node in (nodes or list(fleet))
    )


def differences(statuses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is not equal between nodes, or apart in quarantine, in words."""
    found = [
        f"{what}: { {name: one[what] for name, one in statuses.items()} }"
        for what in ("digest", "clock")
        if len({repr(sorted_of(one[what])) for one in statuses.values()}) > 1
    ]
    found += [f"{name} keeps entries apart" for name, one in statuses.items() if one["quarantined"]]
    return found


def sorted_of(value: object) -> object:
    """A value whose text does not depend on the order of keys."""
    return sorted(value.items()) if isinstance(value, dict) else value


def wait_until_equal(fleet: Fleet, seconds: float = EQUAL_SECONDS_MAX) -> None:
    """Return once all nodes hold the same, by clocks and digests, and keep nothing apart."""
    last: list[str] = []

    def equal() -> bool:
        last[:] = differences({node.name: status_of(fleet, node) for node in fleet})
        return not last

    try:
        wait_for(equal, "equal nodes", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {'; '.join(last)}") from error

"""Trust in a running mesh of processes: who gets in, what changes while it works, who decides."""

import asyncio
import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from signal import SIGHUP
from typing import Any

import cbor2
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools.fleet.fleet import Fleet, FleetNode, FleetOptions

WAIT_SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three nodes that all know one another, two copies of each write."""
    options = FleetOptions(nodes=3, quorum_writes=2)
    made = Fleet(tmp_path_factory.mktemp("fleet"), options)
    try:
        made.start()
        wait_for(lambda: all(states(made, one) == {"up"} for one in made))
        yield made
    finally:
        made.close()


def cli(node: FleetNode, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb on a node's store."""
    start = node.command[: node.command.index("serve")]
    return subprocess.run(
        [*start, *words], env=node.environment, capture_output=True, text=True, check=False
    )


def told(node: FleetNode, *words: str) -> dict[str, Any]:
    done = cli(node, *words, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def states(fleet: Fleet, node: FleetNode) -> set[str]:
    """How a node finds its peers."""
    with httpx.Client(verify=fleet.client_context(), trust_env=False, timeout=5) as client:
        reply = client.get(f"{node.url}/api/v1/federation/status").json()
    return {one["state"] for one in reply["peers"]}


def wait_for(done: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + WAIT_SECONDS_MAX
    while not done():
        assert time.monotonic() < give_up_at, "it did not come to that"
        time.sleep(0.05)


def has_noted(node: FleetNode, addresses: set[str]) -> bool:
    return {one["url"] for one in told(node, "federation", "peers")["peers"]} == addresses


def has_logged(node: FleetNode, words: str) -> bool:
    return words in node.log


@asynccontextmanager
async def writing(fleet: Fleet, name: str):
    """Writers at work on one node all the while; gives the statuses they got."""
    statuses: list[int] = []
    at_work = True

    async def writer(number: int) -> None:
        async with fleet.client(name, f"writer-{number}") as client:
            count = 0
            while at_work:
                body = {"title": f"{time.time_ns()} {number} {count}", "content": "x" * 100}
                reply = await client.post("/api/v1/memories", json=body)
                statuses.append(reply.status_code)
                count += 1

    tasks = [asyncio.create_task(writer(number)) for number in range(3)]
    try:
        yield statuses
    finally:
        at_work = False
        await asyncio.gather(*tasks)


async def grows(statuses: list[int], by: int = 20) -> None:
    """Wait until this many more writes are answered."""
    target = len(statuses) + by
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while len(statuses) < target:  # noqa: ASYNC110  # the writers have no event
            await asyncio.sleep(0.01)


def test_every_node_is_bound_to_its_certificate_and_key(fleet: Fleet):
    for node in fleet:
        found = told(node, "federation", "peers")["peers"]
        others = {one.name for one in fleet} - {node.name}
        assert {one["name"] for one in found} == others
        assert {one["state"] for one in found} == {"bound"}
        assert len({one["fingerprint"] for one in found}) == 2
        addresses = {one.url for one in fleet if one is not node}
        wait_for(partial(has_noted, node, addresses))
        assert (node.folder / "store.db.node.key").stat().st_mode & 0o777 == 0o600


async def test_an_admitted_client_that_is_no_node_uses_memories_and_no_peers_routes(fleet: Fleet):
    async with fleet.client("node-a", "ai:agent") as client:
        stored = await client.post("/api/v1/memories", json={"title": "t", "content": "c"})
        native = [
            await client.post(f"/api/v2/fed/{method}", content=b"\x80")
            for method in ("append", "log", "digest", "snapshot")
        ]
        since = await client.get("/api/v1/sync/since")
        unknown = await client.post("/api/v2/fed/nothing", content=b"")
        got = await client.get("/api/v2/fed/append")
    assert stored.status_code == 201
    assert [one.status_code for one in native] == [401] * 4
    assert {one.json()["error"] for one in native} == {"proof_required"}
    assert since.status_code == 403
    assert (unknown.status_code, got.status_code) == (404, 405)


async def test_certificates_are_exchanged_under_load_without_a_failed_write(fleet: Fleet):
    """W38: allowlist and certificates needed a restart."""
    before = fleet.allowlist.read_text()
    async with writing(fleet, "node-a") as statuses:
        await grows(statuses)
        renewed = {node.name: fleet.authority.issue(f"{node.name}-client") for node in fleet}
        for node in fleet:
            fleet.authority.issue(node.name, [node.name, "127.0.0.1"])
        lines = [f"{one.fingerprint} # {name}\n" for name, one in renewed.items()]
        fleet.allowlist.write_text(before + "".join(lines))
        for node in fleet:
            node.signal(SIGHUP)
        for node in fleet:
            wait_for(partial(has_logged, node, "client certificate: read again"))
        await grows(statuses, 60)
        fleet.allowlist.write_text(before.splitlines(keepends=True)[0] + "".join(lines))
        for node in fleet:
            node.signal(SIGHUP)
        await grows(statuses, 60)
    assert set(statuses) == {201}
    wait_for(
        lambda: all(
            {one["fingerprint"] for one in told(node, "federation", "peers")["peers"]}
            == {one.fingerprint for name, one in renewed.items() if name != node.name}
            for node in fleet
        )
    )
    assert all(states(fleet, node) == {"up"} for node in fleet)


async def test_a_broken_file_changes_nothing_and_is_reported(fleet: Fleet):
    node, before = fleet["node-b"], fleet.allowlist.read_text()
    try:
        fleet.allowlist.write_text(before + "no fingerprint\n")
        wait_for(lambda: "what held before goes on to hold" in node.log)
        assert f"line {len(before.splitlines()) + 1}" in node.log
        async with fleet.client("node-b") as client:
            assert (await client.get("/api/v1/health")).status_code == 200
    finally:
        fleet.allowlist.write_text(before)


async def test_a_revoked_node_is_out_within_seconds_and_back_when_listed_again(fleet: Fleet):
    before = fleet.allowlist.read_text()
    lines = before.splitlines(keepends=True)
    fleet.allowlist.write_text("".join(one for one in lines if not one.endswith("# node-c\n")))
    wait_for(lambda: states(fleet, fleet["node-c"]) == {"down"})
    async with writing(fleet, "node-a") as statuses:
        await grows(statuses)
    fleet.allowlist.write_text(before)
    wait_for(lambda: states(fleet, fleet["node-c"]) == {"up"})
    assert set(statuses) == {201}


def test_a_node_with_another_key_is_out_until_an_operator_accepts_it(fleet: Fleet):
    node, other = fleet["node-c"], fleet["node-a"]
    before = told(other, "federation", "peers")["peers"]
    bound = next(one for one in before if one["name"] == "node-c")
    node.stop()
    (node.folder / "store.db.node.key").unlink()
    fleet.start("node-c")
    wait_for(
        lambda: "offered" in {one["state"] for one in told(other, "federation", "peers")["peers"]}
    )
    assert "key_changed" in other.log
    assert states(fleet, node) == {"refusing"}

    shown = cli(other, "federation", "peers").stdout
    assert f"{bound['node_id']}  node-c  offered" in shown
    refused = cli(other, "federation", "accept", "nobody")
    assert refused.returncode == 1
    assert "no single peer waits" in refused.stderr
    for one in (other, fleet["node-b"]):
        assert told(one, "federation", "accept", bound["node_id"])["state"] == "bound"
    wait_for(lambda: all(states(fleet, one) == {"up"} for one in fleet))
    after = told(other, "federation", "peers")["peers"]
    assert (
        next(one["public_key"] for one in after if one["name"] == "node-c") != bound["public_key"]
    )


def test_bindings_outlive_a_restart(fleet: Fleet):
    node = fleet["node-a"]
    before = told(node, "federation", "peers")["peers"]
    node.stop()
    fleet.start("node-a")
    after = told(node, "federation", "peers")["peers"]
    assert [(one["node_id"], one["first_seen"]) for one in after] == [
        (one["node_id"], one["first_seen"]) for one in before
    ]


def test_who_leaves_talks_to_nobody_until_it_is_started_again(fleet: Fleet):
    node, other = fleet["node-b"], fleet["node-a"]
    done = cli(node, "federation", "leave")
    assert done.returncode == 0, done.stderr
    assert "with peers it joins again" in done.stdout
    found = told(node, "federation", "status")
    assert (found["peers"], found["quorum_writes"]) == ([], 1)
    assert "warning: this node has left the fleet" in cli(node, "federation", "status").stdout
    wait_for(lambda: states(fleet, other) == {"refusing", "up"})
    node.stop()
    fleet.start("node-b")
    wait_for(lambda: all(states(fleet, one) == {"up"} for one in fleet))


def test_what_is_refused_is_refused_before_anybody_can_connect(tmp_path: Path):
    fleet = Fleet(tmp_path / "fleet", FleetOptions(nodes=2, quorum_writes=3))
    done = subprocess.run(
        fleet["node-a"].command,
        env=fleet["node-a"].environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "--quorum-writes 3 is more than the 2 nodes" in done.stderr
    assert "listens on" not in done.stderr


def test_peers_are_added_and_removed_by_a_file(tmp_path: Path):
    """W31: a static flag, and a restart to add a peer."""
    options = FleetOptions(nodes=2, quorum_writes=1, tls=False)
    fleet = Fleet(tmp_path / "fleet", options)
    node, other = fleet["node-a"], fleet["node-b"]
    listed = tmp_path / "peers.txt"
    listed.write_text("# nobody yet\n")
    at = node.command.index("--quorum-peers")
    node.command[at : at + 2] = ["--peer-file", str(listed)]
    try:
        fleet.start()
        assert states(fleet, node) == set()
        listed.write_text(f"{other.url}\n")
        wait_for(lambda: states(fleet, node) == {"up"})
        listed.write_text(f"{other.url}\n{other.url}/\n")
        wait_for(lambda: "twice" in node.log)
        assert states(fleet, node) == {"up"}
        listed.write_text("")
        wait_for(lambda: states(fleet, node) == set())
    finally:
        fleet.close()


def test_a_credential_lets_nodes_in_whose_keys_nobody_enrolled(tmp_path: Path):
    """Zero-touch: each node holds the issuer's key and its own credential, and no peer's key."""
    bundle, now = tmp_path / "bundle", int(time.time())
    bundle.mkdir()
    issuer = Ed25519PrivateKey.generate()
    (bundle / "root.pub").write_bytes(issuer.public_key().public_bytes_raw())
    keys = tmp_path / "keys"
    keys.mkdir()
    options = FleetOptions(
        nodes=2,
        quorum_writes=2,
        environment={
            "AI_MEMORY_FED_REQUIRE_PEER_ENROLLMENT": "1",
            "AI_MEMORY_FED_TRUST_BUNDLE_DIR": str(bundle),
            "AI_MEMORY_FED_TRUST_DOMAIN": "fleet.example",
        },
    )
    fleet = Fleet(tmp_path / "fleet", options)
    try:
        for node in fleet:
            node.environment["AI_MEMORY_FED_CRED_PATH"] = str(node.folder / "credential")
            (node.folder / "credential").write_text("v1=\n")
        fleet.start()
        wait_for(lambda: all(states(fleet, node) == {"refusing"} for node in fleet))
        for node in fleet:
            own = (node.folder / "store.db.node.key").read_bytes()
            claims = cbor2.dumps(
                {
                    "subject_agent_id": node.name,
                    "subject_pubkey": Ed25519PrivateKey.from_private_bytes(own)
                    .public_key()
                    .public_bytes_raw(),
                    "issuer_id": "root",
                    "trust_domain": "fleet.example",
                    "not_before": now - 60,
                    "not_after": now + 3_600,
                    "cred_version": 1,
                },
                canonical=True,
            )
            signed = cbor2.dumps({"claims": claims, "sig": issuer.sign(claims)})
            (node.folder / "credential").write_text(f"v1={b64encode(signed).decode()}\n")
        wait_for(lambda: all(states(fleet, node) == {"up"} for node in fleet))
    finally:
        fleet.close()

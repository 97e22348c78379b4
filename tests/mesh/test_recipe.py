"""The recipe that v0.7.0's users know, word for word, on four hosts of the recipe's names."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from tests.faults.waiting import wait_for
from tests.mesh.hosts import ADDRESSES, Host, four_hosts
from tools.fleet.authority import Authority

SERVE = """\
ai-memory --db /var/lib/ai-memory/store.db serve \\
  --host 0.0.0.0 --port 9077 \\
  --quorum-writes 2 \\
  --quorum-peers {peers} \\
  --quorum-timeout-ms 2000 \\
  --tls-cert /etc/ai-memory/tls.crt \\
  --tls-key /etc/ai-memory/tls.key \\
  --mtls-allowlist /etc/ai-memory/peer-fingerprints.txt \\
  --quorum-client-cert /etc/ai-memory/client.crt \\
  --quorum-client-key /etc/ai-memory/client.key \\
  --quorum-ca-cert /etc/ai-memory/ca.crt \\
  --catchup-interval-secs 30
"""
SYNC_DAEMON = """\
ai-memory sync-daemon \\
  --peers https://node-b:9077,https://node-c:9077,https://node-d:9077 \\
  --interval 2 \\
  --client-cert /etc/ai-memory/client.crt \\
  --client-key /etc/ai-memory/client.key
"""
CURL = "curl 'http://node-a:9077/api/v1/sync/since?peer=node-c&since=2026-06-09T04:00:00Z'"
OVER_TLS = (
    CURL.replace("http:", "https:") + " --cacert /etc/ai-memory/ca.crt"
    " --cert /etc/ai-memory/client.crt --key /etc/ai-memory/client.key"
)
ASK = (
    "curl --silent --show-error --cacert /etc/ai-memory/ca.crt --cert /etc/ai-memory/client.crt"
    " --key /etc/ai-memory/client.key https://{host}:9077/api/v1/{path}"
)
TRUSTING = {"AI_MEMORY_FED_SYNC_TRUST_PEER": "1"}
"""Without it v0.7.0's route gives nobody a row whom no attestation names, as with v0.7.0."""
OWN_FILE = {"AI_MEMORY_DB": "/var/lib/ai-memory/store.db"}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, Host]]:
    """Four hosts with the recipe's files in /etc/ai-memory."""
    with four_hosts(tmp_path) as made:
        authority = Authority(tmp_path / "authority")
        listed = []
        for host in made.values():
            server, client = (
                authority.issue(host.name, [host.name]),
                authority.issue(f"{host.name}-client"),
            )
            for source, target in (
                (server.certificate, "tls.crt"),
                (server.key, "tls.key"),
                (client.certificate, "client.crt"),
                (client.key, "client.key"),
                (authority.file, "ca.crt"),
            ):
                copyfile(source, host.etc / target)
                (host.etc / target).chmod(0o600)
            digits = client.fingerprint
            pairs = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
            listed.append(f"{pairs}  # {host.name}")
        for host in made.values():
            text = "\n".join(["# who may connect", *listed]) + "\n"
            (host.etc / "peer-fingerprints.txt").write_text(text)
        yield made


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended with the test."""
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        process.terminate()
    for process in made:
        process.wait(30)


def serve_line(name: str) -> str:
    peers = ",".join(f"https://{other}:9077" for other in ADDRESSES if other != name)
    return SERVE.format(peers=peers)


def asked(host: Host, target: str, path: str, more: str = "") -> dict[str, Any]:
    """What `target` answers to a client on `host` that shows the host's certificate."""
    done = host.run(ASK.format(host=target, path=path) + more)
    assert done.returncode == 0, done.stderr + host.log
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def is_up(host: Host) -> bool:
    done = host.run(ASK.format(host=host.name, path="federation/status"))
    if done.returncode != 0:
        return False
    return [one["state"] for one in json.loads(done.stdout)["peers"]] == ["up"] * 3


def stored(host: Host, title: str) -> dict[str, Any]:
    body = json.dumps({"title": title, "content": "text", "scope": "collective"})
    return asked(host, host.name, "memories", f" -H 'Content-Type: application/json' -d '{body}'")


def test_the_recipe_runs_word_for_word(
    hosts: dict[str, Host], running: list[subprocess.Popen[str]]
):
    a, c = hosts["node-a"], hosts["node-c"]
    running += [host.start(serve_line(host.name), TRUSTING) for host in hosts.values()]
    wait_for(lambda: all(is_up(one) for one in hosts.values()), "a mesh of four hosts")

    made = stored(a, "from a")
    assert made["quorum_acks"] >= 2
    wait_for(
        lambda: "id" in asked(c, "node-c", f"memories/{made['id']}").get("memory", {}),
        "the row on node-c",
    )

    since = c.run(OVER_TLS)
    assert since.returncode == 0, since.stderr
    assert [one["id"] for one in json.loads(since.stdout)["memories"]] == [made["id"]]

    refused = a.run(SYNC_DAEMON, OWN_FILE)
    assert refused.returncode != 0
    assert "--ca-cert" in refused.stderr
    trusted = OWN_FILE | {"AI_MEMORY_QUORUM_CA_CERT": "/etc/ai-memory/ca.crt"}
    daemon = a.start(SYNC_DAEMON, trusted)
    running.append(daemon)
    wait_for(lambda: "ai-memory reconciles" in a.log, "the daemon's first words")
    again = stored(hosts["node-d"], "from d, beside a daemon")
    wait_for(
        lambda: "id" in asked(a, "node-a", f"memories/{again['id']}").get("memory", {}),
        "the row on node-a",
    )
    assert daemon.poll() is None, a.log


def test_the_curl_runs_word_for_word_against_a_plain_node(
    hosts: dict[str, Host], running: list[subprocess.Popen[str]]
):
    """A node on loopback whose host calls it node-a."""
    a = hosts["node-a"]
    text = (a.folder / "hosts").read_text()
    (a.folder / "hosts").write_text(text.replace(ADDRESSES["node-a"], "127.0.0.1"))
    serve = "ai-memory --db /var/lib/ai-memory/store.db serve"
    running.append(a.start(serve, TRUSTING))
    health = "curl --silent --fail http://node-a:9077/api/v1/health"
    wait_for(lambda: a.run(health).returncode == 0, "a node")
    body = json.dumps({"title": "plain", "content": "text"})
    made = a.run(
        "curl --silent http://node-a:9077/api/v1/memories"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
    found = a.run(CURL)
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert [one["id"] for one in answer["memories"]] == [json.loads(made.stdout)["id"]]

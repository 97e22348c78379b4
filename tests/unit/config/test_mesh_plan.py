"""What is refused of peers and TLS before anything listens, and what the settings come to."""

from pathlib import Path

import pytest

from app.bootstrap.mesh_plan import FederationPlan, plan_federation
from app.bootstrap.place import StorePlace
from app.config.errors import ConfigRefusedError
from app.config.resolve import resolve
from app.domain.errors import InvalidInputError
from app.replication.durability import Durability
from app.replication.peer_list import PeerAddress
from app.server import ServeOptions, check_exposure
from tests.certificates import Authority, fingerprint

PEERS = "http://node-b:9077,http://node-c:9077"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Names of files that can be used."""
    authority = Authority(tmp_path, "fleet")
    certificate, key = authority.issue("node-a")
    allowlist = tmp_path / "allowlist"
    allowlist.write_text(fingerprint(certificate))
    return {
        "cert": str(certificate),
        "key": str(key),
        "ca": str(authority.file),
        "other key": str(authority.issue("node-b")[1]),
        "allowlist": str(allowlist),
        "folder": str(tmp_path),
    }


def plan(environ: dict[str, str] | None = None, **flags: object) -> FederationPlan:
    """As `serve` plans with these flags (`tls__cert` is `tls.cert`)."""
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return plan_federation(resolve(given, {"HOME": "/nowhere", **(environ or {})}))


def refusal(**flags: object) -> str:
    with pytest.raises(ConfigRefusedError) as refused:
        plan(None, **flags)
    return refused.value.message


def test_without_a_word_there_is_no_mesh():
    found = plan()
    assert found.options.nodes == 1
    assert found.options.needed == 1
    assert found.guard is None
    assert found.options.identity.startswith("host:")
    assert not found.is_meshed


def test_the_flags_of_v070_come_to_what_they_say(files: dict[str, str]):
    found = plan(
        federation__quorum_writes=2,
        federation__quorum_peers="http://node-b:9077/,https://NODE-C:9077",
        federation__quorum_timeout_ms=800,
        federation__quorum_ca_cert=files["ca"],
        federation__quorum_client_cert=files["cert"],
        federation__quorum_client_key=files["key"],
        federation__catchup_interval_secs=0,
        federation__identity="node-a",
        tls__cert=files["cert"],
        tls__key=files["key"],
        tls__mtls_allowlist=files["allowlist"],
    )
    options = found.options
    assert options.peers == ("http://node-b:9077", "https://node-c:9077")
    assert (options.nodes, options.needed, options.timeout_seconds) == (3, 2, 0.8)
    assert (options.catchup_seconds, options.identity) == (0.0, "node-a")
    assert found.has_client_certificates
    assert found.readable_peers == ("http://node-b:9077",)


def test_every_flag_has_a_variable():
    found = plan(
        {
            "AI_MEMORY_QUORUM_WRITES": "3",
            "AI_MEMORY_QUORUM_PEERS": PEERS,
            "AI_MEMORY_DURABILITY": "all",
            "AI_MEMORY_MAX_CLOCK_OFFSET_MS": "500",
            "AI_MEMORY_LOG_RETENTION_HOURS": "1",
            "AI_MEMORY_FED_BATCH_BYTES": "65536",
            "AI_MEMORY_FED_BATCH_MS": "2",
            "AI_MEMORY_FED_IDENTITY": "node-a",
        }
    ).options
    assert (found.writes, found.nodes, found.durability) == (3, 3, Durability.ALL)
    assert (found.max_offset_ms, found.horizon_seconds) == (500, 3_600.0)
    assert (found.batch_bytes, found.batch_seconds) == (65_536, 0.002)


@pytest.mark.parametrize("nodes", range(1, 10))
def test_more_copies_than_nodes_are_refused_and_majorities_are_whole(nodes: int):
    """W24: W was lowered silently, and the majority of an even number was wrong."""
    peers = ",".join(f"http://node-{number}:9077" for number in range(1, nodes))
    for writes in range(nodes + 1):
        found = plan(federation__quorum_peers=peers, federation__quorum_writes=writes)
        assert found.options.needed == max(1, writes)
    message = refusal(federation__quorum_peers=peers, federation__quorum_writes=nodes + 1)
    assert message.startswith(f"--quorum-writes {nodes + 1} is more than the {nodes} nodes")
    majority = plan(federation__quorum_peers=peers, federation__durability="majority")
    assert majority.options.needed == nodes // 2 + 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"tls__cert": "cert"}, "--tls-cert and --tls-key go together"),
        ({"tls__key": "key"}, "--tls-cert and --tls-key go together"),
        ({"tls__mtls_allowlist": "allowlist"}, "--mtls-allowlist needs --tls-cert"),
        ({"federation__quorum_client_key": "key"}, "--quorum-client-key needs"),
        ({"tls__client_cert_dir": "folder"}, "--mtls-client-cert-dir needs --mtls-allowlist"),
        ({"tls__cert": "cert", "tls__key": "other key"}, "key values mismatch"),
        ({"tls__cert": "missing", "tls__key": "key"}, "No such file"),
        (
            {"tls__cert": "cert", "tls__key": "key", "tls__mtls_allowlist": "allowlist"},
            "--quorum-ca-cert",
        ),
        (
            {
                "tls__cert": "cert",
                "tls__key": "key",
                "tls__mtls_allowlist": "ca",
                "federation__quorum_ca_cert": "ca",
            },
            "line 1: ",
        ),
    ],
)
def test_what_cannot_be_is_refused(flags: dict[str, str], words: str, files: dict[str, str]):
    given = {name: files.get(value, value) for name, value in flags.items()}
    assert words in refusal(**given)


@pytest.mark.parametrize("text", ["", "# nobody\n"])
def test_an_empty_allowlist_is_refused(text: str, files: dict[str, str]):
    Path(files["allowlist"]).write_text(text)
    message = refusal(
        tls__cert=files["cert"],
        tls__key=files["key"],
        tls__mtls_allowlist=files["allowlist"],
        federation__quorum_ca_cert=files["ca"],
    )
    assert "names no certificate" in message


@pytest.mark.parametrize("again", ["http://node-b:9077/", "HTTP://Node-B:9077"])
def test_a_peer_named_twice_is_refused(again: str):
    message = refusal(federation__quorum_peers=f"{PEERS},{again}")
    assert message == "--quorum-peers names http://node-b:9077 twice, or --peer-file again"


def test_peers_of_a_file_come_beside_those_of_the_flag(tmp_path: Path, files: dict[str, str]):
    listed = tmp_path / "peers"
    pin = fingerprint(Path(files["cert"]))
    listed.write_text(f"https://node-d:9077 {pin}\n")
    found = plan(federation__quorum_peers=PEERS, federation__peer_file=listed)
    assert found.peers[-1] == PeerAddress("https://node-d:9077", pin)
    assert found.options.nodes == 4
    listed.write_text("http://node-b:9077\n")
    assert "twice" in refusal(federation__quorum_peers=PEERS, federation__peer_file=listed)
    listed.write_text("node-b\n")
    assert "line 1" in refusal(federation__peer_file=listed)


def test_a_flag_that_is_no_address_is_named_and_not_repeated():
    with pytest.raises(InvalidInputError, match="--quorum-peers") as refused:
        plan(federation__quorum_peers="http://user:s3cret@node-b")
    assert "s3cret" not in refused.value.message


def test_certificates_or_a_key_open_a_port_to_other_machines(tmp_path: Path):
    def check(host: str, *, mtls: bool, **environ: str) -> None:
        resolution = resolve({}, {"HOME": "/nowhere", **environ})
        options = ServeOptions(resolution, StorePlace(tmp_path / "x.db"), host)
        check_exposure(options, has_client_certificates=mtls)

    check("127.0.0.1", mtls=False)
    check("0.0.0.0", mtls=True)
    with pytest.raises(ConfigRefusedError, match="without an api_key"):
        check("0.0.0.0", mtls=False)
    with pytest.raises(ConfigRefusedError, match="AI_MEMORY_REQUIRE_API_KEY"):
        check("127.0.0.1", mtls=True, AI_MEMORY_REQUIRE_API_KEY="1")

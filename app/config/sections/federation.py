"""The mesh: who the peers are, how many copies a write waits for, and what proves who is who."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.config.key import Key, OnInvalid
from app.config.section import Section
from app.config.values import AgentId, Flag, NonEmpty, NotNegative, PeerUrl, Positive

_BATCH_BYTES_MAX = 8 * 1024 * 1024
_TAKEOVER_SECS_MIN = 15
"""Three signs of life of an idle node."""


class Tls(Section):
    """How this node's own port is guarded."""

    cert: Annotated[
        Path | None,
        Key(
            "Certificate chain of this node's HTTPS, PEM.",
            env=("AI_MEMORY_TLS_CERT",),
            flag="serve --tls-cert",
            ours=True,
            note="with `key`; v0.7.0 knows the flags of this section only",
        ),
    ] = None
    key: Annotated[
        Path | None,
        Key(
            "Private key of `cert`, PEM: PKCS#8, RSA or SEC1.",
            env=("AI_MEMORY_TLS_KEY",),
            flag="serve --tls-key",
            ours=True,
        ),
    ] = None
    mtls_allowlist: Annotated[
        Path | None,
        Key(
            "File of the client certificates that may connect, one SHA-256 a line.",
            env=("AI_MEMORY_MTLS_ALLOWLIST",),
            flag="serve --mtls-allowlist",
            ours=True,
            note="needs `cert`; read again when it changes",
        ),
    ] = None
    client_cert_dir: Annotated[
        Path | None,
        Key(
            "Folder of client certificates (`*.pem`, `*.crt`) that vouch for themselves.",
            env=("AI_MEMORY_MTLS_CLIENT_CERT_DIR",),
            flag="serve --mtls-client-cert-dir",
            ours=True,
            note="for certificates that `quorum_ca_cert` has not signed; the allowlist decides",
        ),
    ] = None


class Federation(Section):
    """Peers, copies and trust."""

    identity: Annotated[
        AgentId | None,
        Key(
            "Who this node says to be to its peers.",
            env=("AI_MEMORY_FED_IDENTITY",),
            flag="serve --federation-identity",
            note="unset: `host:<hostname>`",
        ),
    ] = None
    quorum_writes: Annotated[
        NotNegative,
        Key(
            "Copies of a write, this node's own included, before its client hears of it.",
            unit="nodes",
            env=("AI_MEMORY_QUORUM_WRITES",),
            flag="serve --quorum-writes",
            ours=True,
            note="0 and 1 wait for nobody and still replicate; more than the nodes is refused",
        ),
    ] = 0
    quorum_peers: Annotated[
        tuple[PeerUrl, ...],
        Key(
            "Base addresses of the peers.",
            env=("AI_MEMORY_QUORUM_PEERS",),
            flag="serve --quorum-peers",
            ours=True,
            note="a comma list on the command line and in the environment",
        ),
    ] = ()
    peer_file: Annotated[
        Path | None,
        Key(
            "File of more peers: an address a line, and the SHA-256 of its certificate if pinned.",
            env=("AI_MEMORY_PEER_FILE",),
            flag="serve --peer-file",
            ours=True,
            note="read again when it changes",
        ),
    ] = None
    quorum_timeout_ms: Annotated[
        Positive,
        Key(
            "How long a write waits for its copies.",
            unit="milliseconds",
            env=("AI_MEMORY_QUORUM_TIMEOUT_MS",),
            flag="serve --quorum-timeout-ms",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
        ),
    ] = 2_000
    durability: Annotated[
        Literal["local", "one", "majority", "all"] | None,
        Key(
            "Copies of a write whose request asks for none, instead of `quorum_writes`.",
            env=("AI_MEMORY_DURABILITY",),
            flag="serve --durability",
            ours=True,
        ),
    ] = None
    quorum_client_cert: Annotated[
        Path | None,
        Key(
            "Certificate that this node shows its peers, PEM.",
            env=("AI_MEMORY_QUORUM_CLIENT_CERT",),
            flag="serve --quorum-client-cert",
            ours=True,
            note="its key may stand in the same file",
        ),
    ] = None
    quorum_client_key: Annotated[
        Path | None,
        Key(
            "Private key of `quorum_client_cert`, PEM.",
            env=("AI_MEMORY_QUORUM_CLIENT_KEY",),
            flag="serve --quorum-client-key",
            ours=True,
        ),
    ] = None
    quorum_ca_cert: Annotated[
        Path | None,
        Key(
            "Authority that signed the peers' certificates, PEM.",
            env=("AI_MEMORY_QUORUM_CA_CERT",),
            flag="serve --quorum-ca-cert",
            ours=True,
            note="believed beside the public ones for servers, and alone for clients",
        ),
    ] = None
    catchup_interval_secs: Annotated[
        NotNegative,
        Key(
            "How often peers are asked for what is missing, news or not.",
            unit="seconds",
            env=("AI_MEMORY_CATCHUP_INTERVAL_SECS",),
            flag="serve --catchup-interval-secs",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
            note="0 turns asking off",
        ),
    ] = 30
    max_clock_offset_ms: Annotated[
        Positive,
        Key(
            "A peer's clock further away than this is alarmed; entries from later wait apart.",
            unit="milliseconds",
            env=("AI_MEMORY_MAX_CLOCK_OFFSET_MS",),
            flag="serve --max-clock-offset-ms",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
        ),
    ] = 60_000
    log_retention_hours: Annotated[
        Positive,
        Key(
            "How long the log is kept for a member that is silent, before it is expired.",
            unit="hours",
            env=("AI_MEMORY_LOG_RETENTION_HOURS",),
            flag="serve --log-retention-hours",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
            note="who comes back later takes a snapshot",
        ),
    ] = 168
    vector_takeover_secs: Annotated[
        Annotated[int, Field(strict=True, ge=_TAKEOVER_SECS_MIN)],
        Key(
            "How long a node may be silent before others embed what it wrote.",
            unit="seconds",
            env=("AI_MEMORY_VECTOR_TAKEOVER_SECS",),
            flag="serve --vector-takeover-secs",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
            note="until then each node embeds its own texts, and vectors travel",
        ),
    ] = 60
    batch_bytes: Annotated[
        Annotated[int, Field(strict=True, ge=1_024, le=_BATCH_BYTES_MAX)],
        Key(
            "Most bytes of one push; a larger entry goes alone.",
            unit="bytes",
            env=("AI_MEMORY_FED_BATCH_BYTES",),
            flag="serve --fed-batch-bytes",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
        ),
    ] = 262_144
    batch_ms: Annotated[
        Annotated[float, Field(strict=True, ge=0.0, le=1_000.0)],
        Key(
            "How long a push waits for company.",
            unit="milliseconds",
            env=("AI_MEMORY_FED_BATCH_MS",),
            flag="serve --fed-batch-ms",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
        ),
    ] = 1.5
    peer_attestation: Annotated[
        NonEmpty | None,
        Key(
            "What peers may do: JSON, peer to `allowed_sender_agent_ids`, `allowed_namespaces`.",
            env=("AI_MEMORY_FED_PEER_ATTESTATION",),
            in_file=False,
            note="once set, a peer without a line may read and write nothing; so may all of them "
            "if it is no such JSON",
        ),
    ] = None
    trust_body_agent_id: Annotated[
        Flag,
        Key(
            "Believe the sender in the body of a v0.7.0 push.",
            env=("AI_MEMORY_FED_TRUST_BODY_AGENT_ID",),
            in_file=False,
        ),
    ] = False
    sync_trust_peer: Annotated[
        Flag,
        Key(
            "Answer v0.7.0 pulls of peers that `peer_attestation` does not name.",
            env=("AI_MEMORY_FED_SYNC_TRUST_PEER",),
            in_file=False,
        ),
    ] = False
    require_sig: Annotated[
        Flag,
        Key(
            "Refuse v0.7.0 sync requests without a valid `X-Memory-Sig`.",
            env=("AI_MEMORY_FED_REQUIRE_SIG",),
            in_file=False,
        ),
    ] = True
    require_nonce: Annotated[
        Flag,
        Key(
            "Refuse v0.7.0 sync requests without a fresh `X-Memory-Nonce`.",
            env=("AI_MEMORY_FED_REQUIRE_NONCE",),
            in_file=False,
        ),
    ] = True
    require_peer_enrollment: Annotated[
        Flag,
        Key(
            "Refuse v0.7.0 peers without a key in the key folder.",
            env=("AI_MEMORY_FED_REQUIRE_PEER_ENROLLMENT",),
            in_file=False,
        ),
    ] = False
    allow_unenrolled_peers: Annotated[
        Flag,
        Key(
            "Take `require_peer_enrollment` back while keys are rolled out.",
            env=("AI_MEMORY_FED_ALLOW_UNENROLLED_PEERS",),
            in_file=False,
        ),
    ] = False
    trust_bundle_dir: Annotated[
        Path | None,
        Key(
            "Folder of issuers' keys (`<issuer>.pub`) whose credentials vouch for peers.",
            env=("AI_MEMORY_FED_TRUST_BUNDLE_DIR",),
            in_file=False,
            note="subfolders are not read",
        ),
    ] = None
    trust_domain: Annotated[
        NonEmpty | None,
        Key(
            "Credentials of another domain vouch for nobody.",
            env=("AI_MEMORY_FED_TRUST_DOMAIN",),
            in_file=False,
        ),
    ] = None
    cred_path: Annotated[
        Path | None,
        Key(
            "File of this node's own credential, as `X-Memory-Cred` carries it.",
            env=("AI_MEMORY_FED_CRED_PATH",),
            in_file=False,
            note="read again when it changes",
        ),
    ] = None
    cred_chain_path: Annotated[
        Path | None,
        Key(
            "File of the intermediate credentials, as `X-Memory-Cred-Chain` carries them.",
            env=("AI_MEMORY_FED_CRED_CHAIN_PATH",),
            in_file=False,
        ),
    ] = None

"""Who may push and pull: signatures, nonces, names (federation 3.3 and 3.4)."""

import base64
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar
from litestar.testing import AsyncTestClient

from app.api.client_certificates import CERTIFICATE_MARK
from app.domain.memory import MemoryLink
from app.replication.attestation import parse_attestation
from app.replication.v070.gate import GateRules
from app.replication.v070.signing import pull_text, signed_bytes
from app.services.keys import KeyDirectory
from app.services.link_signing import signed_bytes as link_bytes
from tests.integration.api.conftest import make_sync, surface
from tests.integration.api.sync_peer import PEER, push, row

BODY = b'{"sender_agent_id": "host:old-node", "memories": []}'
STRANGER = "host:stranger"


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def keys(tmp_path, key):
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / f"{PEER}.pub").write_bytes(key.public_key().public_bytes_raw())
    return KeyDirectory(folder)


class Shown:
    """The application as a client with a certificate reaches it."""

    def __init__(self, app):
        self.app = app
        self.fingerprint = None

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and self.fingerprint is not None:
            scope["extensions"] = {CERTIFICATE_MARK: {"fingerprint": self.fingerprint}}
        await self.app(scope, receive, send)


class ShownClient(AsyncTestClient[Litestar]):
    """A client that may show a certificate."""

    @property
    def shown(self) -> Shown:
        handler = self.app.asgi_handler
        assert isinstance(handler, Shown)
        return handler


@pytest.fixture
async def make_wire(services, store, clock, keys):
    async with AsyncExitStack() as opened:

        async def make(enrolled=True, **rules):
            sync = make_sync(store, clock, GateRules(**rules), keys if enrolled else None)
            app = opened.enter_context(surface(replace(services, sync=sync)))
            app.asgi_handler = Shown(app.asgi_handler)
            return await opened.enter_async_context(ShownClient(app))

        yield make


def signature(key, body, nonce):
    return "ed25519=" + base64.b64encode(key.sign(signed_bytes(body, nonce))).decode()


def signed(key, body=BODY, **changed):
    nonce = str(uuid.uuid4())
    headers = {
        "x-peer-id": PEER,
        "x-memory-nonce": nonce,
        "x-memory-sig": signature(key, body, nonce),
        "content-type": "application/json",
        **changed,
    }
    return {name: value for name, value in headers.items() if value is not None}


async def sent(wire, headers, body=BODY):
    reply = await wire.post("/api/v1/sync/push", content=body, headers=headers)
    return reply.status_code, reply.json().get("error")


async def test_a_signed_push_is_taken(make_wire, key):
    wire = await make_wire()
    assert await sent(wire, signed(key)) == (200, None)
    headers = signed(key)
    headers["x-memory-sig"] += "; keyid=1"
    assert await sent(wire, headers) == (200, None)


async def test_what_an_enrolled_peer_must_show(make_wire, key):
    wire = await make_wire()
    other = Ed25519PrivateKey.generate()
    cases = {
        "x_memory_sig_missing": signed(key, **{"x-memory-sig": None}),
        "x_memory_sig_unknown_algorithm": signed(key, **{"x-memory-sig": "rsa=AAAA"}),
        "x_memory_sig_malformed": signed(key, **{"x-memory-sig": "ed25519=AAAA"}),
        "x_memory_sig_bad_signature": signed(other),
        "x_memory_nonce_missing": signed(key, **{"x-memory-nonce": None}),
        "x_memory_sig_no_enrolled_key": signed(key, **{"x-peer-id": STRANGER}),
    }
    for tag, headers in cases.items():
        assert await sent(wire, headers) == (401, tag)
    for text in ("ed25519=", "ed25519=!!", "ed25519=" + "A" * 200, "", "ed25519"):
        assert (await sent(wire, signed(key, **{"x-memory-sig": text})))[0] == 401


async def test_the_signature_covers_body_and_nonce(make_wire, key):
    wire = await make_wire()
    bad = (401, "x_memory_sig_bad_signature")
    assert await sent(wire, signed(key), BODY + b" ") == bad
    assert await sent(wire, signed(key, **{"x-memory-nonce": str(uuid.uuid4())})) == bad
    assert await sent(wire, signed(key, BODY + b"\x00x"), BODY) == bad


async def test_a_signature_is_asked_for_before_the_body_is_read(make_wire, key):
    wire = await make_wire()
    assert await sent(wire, signed(key, **{"x-memory-sig": None}), b"{") == (
        401,
        "x_memory_sig_missing",
    )
    assert (await sent(wire, signed(key, b"{"), b"{"))[0] == 400


async def test_a_request_cannot_be_sent_twice(make_wire, key):
    """W37."""
    wire = await make_wire()
    headers = signed(key)
    assert await sent(wire, headers) == (200, None)
    assert await sent(wire, headers) == (401, "x_memory_nonce_replay")
    # A second node over the same store, as after a restart.
    again = await make_wire()
    assert await sent(again, headers) == (401, "x_memory_nonce_replay")
    assert await sent(again, signed(key)) == (200, None)


async def test_a_refused_push_may_be_sent_again_as_it_was(make_wire, key):
    wire = await make_wire()
    body = b'{"sender_agent_id": "host:old-node", "memories": 5}'
    headers = signed(key, body)
    assert (await sent(wire, headers, body))[0] == 400
    wrong = BODY.replace(b"old-node", b"new-node")
    headers = signed(key, wrong)
    for _ in range(2):
        assert await sent(wire, headers, wrong) == (403, "sender_agent_id_mismatch")


async def test_pulls_are_signed_too(make_wire, key):
    """W44: the request line is what is signed."""
    wire = await make_wire(sync_trust_peer=True)
    path, query = "/api/v1/sync/since", "since=2026-01-01T00:00:00Z&limit=5"
    text = pull_text("GET", path, query)
    headers = signed(key, text)
    reply = await wire.get(f"{path}?{query}", headers=headers)
    assert reply.status_code == 200
    reply = await wire.get(f"{path}?{query}", headers=headers)
    assert reply.json()["error"] == "x_memory_nonce_replay"
    again = await make_wire(sync_trust_peer=True)
    reply = await again.get(f"{path}?{query}", headers=headers)
    assert reply.json()["error"] == "x_memory_nonce_replay"
    reply = await wire.get(f"{path}?limit=6", headers=signed(key, text))
    assert reply.json()["error"] == "x_memory_sig_bad_signature"
    reply = await wire.get(path, headers={"x-peer-id": PEER})
    assert (reply.status_code, reply.json()["error"]) == (401, "x_memory_sig_missing")


async def test_gates_can_be_opened(make_wire, key):
    unsigned = {"x-peer-id": PEER, "content-type": "application/json"}
    wire = await make_wire(require_sig=False)
    assert await sent(wire, unsigned) == (200, None)
    assert (await sent(wire, signed(Ed25519PrivateKey.generate())))[0] == 401
    wire = await make_wire(require_nonce=False)
    headers = signed(key, **{"x-memory-nonce": None, "x-memory-sig": signature(key, BODY, None)})
    assert await sent(wire, headers) == (200, None)
    assert await sent(wire, headers) == (200, None)


async def test_enrolment_can_be_required(make_wire, key):
    wire = await make_wire(require_enrollment=True)
    unsigned = {"x-peer-id": STRANGER, "content-type": "application/json"}
    assert await sent(wire, unsigned) == (401, "peer_not_enrolled")
    assert await sent(wire, {}) == (401, "peer_not_enrolled")
    assert (await wire.get("/api/v1/sync/since", headers=unsigned)).status_code == 401
    assert await sent(wire, signed(key)) == (200, None)
    listed = parse_attestation('{"host:other": {}}')
    wire = await make_wire(require_enrollment=True, attestation=listed)
    assert await sent(wire, signed(key)) == (401, "x_peer_id_not_in_allowlist")


async def test_a_damaged_key_file_switches_nothing_off(make_wire, keys):
    (keys.path / f"{PEER}.pub").write_bytes(b"short")
    wire = await make_wire()
    unsigned = {"x-peer-id": PEER, "content-type": "application/json"}
    assert await sent(wire, unsigned) == (401, "x_memory_sig_no_enrolled_key")


async def test_the_sender_is_the_peer_or_one_of_its_own(make_wire):
    wire = await make_wire(enrolled=False)
    reply = await push(wire, headers={"x-peer-id": STRANGER})
    assert reply.status_code == 403
    answer = reply.json()
    assert (answer["error"], answer["claimed"], answer["peer_header"]) == (
        "sender_agent_id_mismatch",
        PEER,
        STRANGER,
    )
    assert answer["note"]
    for header in ("", "not an id", "x" * 129):
        reply = await push(wire, headers={"x-peer-id": header})
        assert (reply.status_code, reply.json()["error"]) == (403, "peer_id_header_missing")
    granted = '{"host:stranger": {"allowed_sender_agent_ids": ["host:old-node"]}}'
    wire = await make_wire(enrolled=False, attestation=parse_attestation(granted))
    assert (await push(wire, headers={"x-peer-id": STRANGER})).status_code == 200
    assert (await push(wire, headers={"x-peer-id": "host:third"})).status_code == 403
    wire = await make_wire(enrolled=False, trust_body_agent_id=True)
    assert (await push(wire, headers={"x-peer-id": ""})).status_code == 200


async def test_a_certificate_keeps_to_one_name(make_wire):
    """W35: in the original whoever has any certificate can say to be anybody."""
    wire = await make_wire(enrolled=False)
    wire.shown.fingerprint = "aa" * 32
    assert (await push(wire)).status_code == 200
    reply = await push(wire, headers={"x-peer-id": STRANGER})
    assert (reply.status_code, reply.json()["error"]) == (403, "x_peer_id_mismatch")
    assert (await push(wire, headers={"x-peer-id": ""})).status_code == 200
    wire.shown.fingerprint = "bb" * 32
    reply = await push(wire)
    assert (reply.status_code, reply.json()["error"]) == (403, "x_peer_id_mismatch")
    reply = await push(wire, headers={"x-peer-id": ""})
    assert (reply.status_code, reply.json()["error"]) == (403, "peer_id_header_missing")


async def test_a_proven_peer_that_is_trusted_gets_private_rows(make_wire):
    wire = await make_wire(enrolled=False, sync_trust_peer=True)
    await push(wire, row(metadata={"agent_id": "ai:ann"}))
    reply = await wire.get("/api/v1/sync/since", headers={"x-peer-id": PEER})
    assert reply.json()["excluded_for_scope_private"] == 1
    wire.shown.fingerprint = "aa" * 32
    reply = await wire.get("/api/v1/sync/since", headers={"x-peer-id": PEER})
    assert reply.json()["count"] == 1


async def test_a_signature_over_a_link(make_wire, keys, store):
    observer = Ed25519PrivateKey.generate()
    (keys.path / "ai:ann.pub").write_bytes(observer.public_key().public_bytes_raw())
    wire = await make_wire(require_sig=False)
    at = "2026-06-01T10:00:00.123456789+00:00"
    link = MemoryLink("m-1", "m-2", "related_to", at, valid_from=at, observed_by="ai:ann")
    body = {
        "source_id": "m-1",
        "target_id": "m-2",
        "relation": "related_to",
        "created_at": at,
        "valid_from": at,
        "observed_by": "ai:ann",
        "signature": list(observer.sign(link_bytes(link))),
    }
    bad = {**body, "relation": "supersedes"}
    unknown = {**body, "relation": "contradicts", "observed_by": "ai:bob"}
    short = {**body, "relation": "derived_from", "signature": [1, 2]}
    reply = await push(
        wire,
        row(1, id="m-1", title="one"),
        row(2, id="m-2", title="two"),
        links=[body, bad, unknown, short],
    )
    found = [(one["status"], one.get("code")) for one in reply.json()["results"][2:]]
    assert found == [
        ("new", None),
        ("skipped", "bad_signature"),
        ("new", None),
        ("skipped", "bad_signature"),
    ]
    shown = (await wire.get("/api/v1/links/m-1")).json()["links"]
    levels = {one["relation"]: one["attest_level"] for one in shown}
    assert levels == {"related_to": "peer_attested", "contradicts": "unsigned"}


async def test_namespaces_hold_for_pushes_where_an_operator_named_them(make_wire, store):
    granted = '{"host:old-node": {"allowed_namespaces": ["work"]}}'
    free = await make_wire(enrolled=False)
    await push(free, row(1), row(2, namespace="home"), row(3, namespace="home", title="x"))
    wire = await make_wire(enrolled=False, attestation=parse_attestation(granted))
    link = {"source_id": row(1)["id"], "target_id": row(2)["id"], "relation": "related_to"}
    meta = {"standard_id": row(1)["id"], "updated_at": row(1)["updated_at"]}
    later = "2026-06-02T00:00:00Z"
    reply = await push(
        wire,
        row(1, content="edited", updated_at=later),
        row(2, content="edited", updated_at=later),
        row(2, namespace="work", updated_at=later),
        row(1, namespace="home", updated_at=later),
        deletions=[row(2)["id"], "unknown"],
        archives=[row(2)["id"]],
        restores=[row(3)["id"]],
        links=[{**link, "created_at": row(1)["created_at"]}],
        namespace_meta=[{**meta, "namespace": "home"}, {**meta, "namespace": "work"}],
        namespace_meta_clears=["home"],
        pending_decisions=[{"id": "p-1", "approved": True, "decider": "ai:ann"}],
    )
    answer = reply.json()
    refused = [one for one in answer["results"] if one["status"] == "skipped"]
    assert {one["code"] for one in refused} == {"namespace_not_allowed"}
    assert (answer["applied"], answer["namespace_meta_applied"]) == (1, 1)
    assert answer["skipped"] == len(refused) == 11
    untouched = await store.snapshot(row(2)["id"])
    assert (untouched.memory.namespace, untouched.memory.content) == ("home", "text 2")

"""Calls between nodes on real sockets: who is let in, and how every failure is called."""

import asyncio
import ssl
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from app.api.options import ApiOptions
from app.bootstrap.sources import SystemClock
from app.config.secret import Secret
from app.replication.admission import ClientAdmission, Guard
from app.replication.allowlist import parse_allowlist
from app.replication.messages import Method
from app.replication.ports import Failure, PeerCallError
from app.replication.tls import (
    Anchors,
    KeyPair,
    LiveContext,
    TlsFileError,
    client_context,
    pinned_context,
    server_context,
)
from tests.certificates import Authority, fingerprint, self_signed
from tests.integration.mesh.surface import Surface, hello, new_key, transport

A, C = "a" * 16, "c" * 16


class MovedClock(SystemClock):
    """The machine's, and some time more."""

    ahead = timedelta()

    @override
    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
def fleet(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "fleet")


def guard_of(authority: Authority, *admitted: Path, folder: Path | None = None) -> Guard:
    """The port of a node whose certificate is for 127.0.0.1."""
    own = KeyPair(*authority.issue("127.0.0.1", name="server"))
    context = LiveContext(server_context(own, Anchors(authority.file, folder)))
    allowlist = parse_allowlist("\n".join(map(fingerprint, admitted)))
    return Guard(context, ClientAdmission(allowlist, SystemClock()))


def plain_tls(authority: Authority) -> Guard:
    return Guard(LiveContext(server_context(KeyPair(*authority.issue("127.0.0.1")), None)))


async def failure(calling) -> PeerCallError:
    with pytest.raises(PeerCallError) as raised:
        await calling
    return raised.value


async def test_a_node_without_tls_is_known_by_its_signature():
    key = new_key()
    async with Surface().served() as surface:
        peer = transport(f"http://127.0.0.1:{surface.port}", A, key)
        await peer.call(Method.HELLO, hello(A, key), 5)
        assert await peer.call(Method.APPEND, b"rows", 5) == b"<rows>"
        await peer.close()

    assert [(one, who.node_id, who.fingerprint) for one, _, who in surface.answered] == [
        (Method.HELLO, A, None),
        (Method.APPEND, A, None),
    ]
    assert surface.kept.pins[A].public_key == key.public_bytes


async def test_another_key_does_not_speak_for_a_bound_node():
    key, thief = new_key(), new_key()
    async with Surface().served() as surface:
        url = f"http://127.0.0.1:{surface.port}"
        honest, liar = transport(url, A, key), transport(url, A, thief)
        await honest.call(Method.HELLO, hello(A, key), 5)
        said = await failure(liar.call(Method.HELLO, hello(A, thief), 5))
        asked = await failure(liar.call(Method.APPEND, b"rows", 5))
        borrowed = await failure(liar.call(Method.HELLO, hello(A, key), 5))
        await honest.call(Method.APPEND, b"rows", 5)
        for one in (honest, liar):
            await one.close()

    assert (said.failure, said.detail) == (Failure.REFUSED, "HTTP 403 key_changed")
    assert (asked.failure, asked.detail) == (Failure.REFUSED, "HTTP 401 proof_wrong")
    assert (borrowed.failure, borrowed.detail) == (Failure.REFUSED, "HTTP 401 proof_wrong")


async def test_a_stranger_may_only_say_hello():
    async with Surface().served() as surface:
        peer = transport(f"http://127.0.0.1:{surface.port}", A, new_key())
        error = await failure(peer.call(Method.APPEND, b"rows", 5))
        await peer.close()
    assert (error.failure, error.detail) == (Failure.REFUSED, "HTTP 403 peer_unknown")
    assert surface.answered == []


async def test_a_restarted_receiver_and_a_restarted_sender_go_on_without_a_failed_call():
    key = new_key()
    surface = Surface()
    async with surface.served():
        url = f"http://127.0.0.1:{surface.port}"
        peer = transport(url, A, key)
        await peer.call(Method.HELLO, hello(A, key), 5)
        for _ in range(5):
            await peer.call(Method.APPEND, b"1", 5)
    surface.restart()
    async with surface.served():
        await peer.call(Method.APPEND, b"2", 5)
        again = transport(url, A, key)
        await again.call(Method.APPEND, b"3", 5)
        for one in (peer, again):
            await one.close()
    assert [body for method, body, _ in surface.answered if method is Method.APPEND] == [
        *[b"1"] * 5,
        b"2",
        b"3",
    ]


async def test_a_captured_request_is_refused_the_second_time():
    key = new_key()
    async with Surface().served() as surface:
        url = f"http://127.0.0.1:{surface.port}"
        peer = transport(url, A, key)
        await peer.call(Method.HELLO, hello(A, key), 5)
        captured = peer._request(Method.APPEND, b"rows")
        replies = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", surface.port)
            writer.write(captured)
            replies.append(await reader.readuntil(b"\r\n"))
            writer.close()
        await peer.close()
    assert [one.split()[1] for one in replies] == [b"200", b"401"]


async def test_an_api_key_guards_peers_too_and_travels_with_every_call():
    key, options = new_key(), ApiOptions(api_key=Secret("s3cret"), keyless_loopback=False)
    async with Surface().served(options=options) as surface:
        url = f"http://127.0.0.1:{surface.port}"
        without, with_key = transport(url, A, key), transport(url, A, key, api_key="s3cret")
        error = await failure(without.call(Method.HELLO, hello(A, key), 5))
        await with_key.call(Method.HELLO, hello(A, key), 5)
        for one in (without, with_key):
            await one.close()
    assert (error.failure, error.detail) == (Failure.REFUSED, "HTTP 401")


async def test_mutual_tls_binds_a_certificate_to_a_node(fleet: Authority):
    certificate, private = fleet.issue("node-a")
    key = new_key()
    guard = guard_of(fleet, certificate)
    options = ApiOptions(api_key=Secret("k"), sync_key_exempt=True, keyless_loopback=False)
    async with Surface().served(guard, options) as surface:
        context = client_context(KeyPair(certificate, private), Anchors(fleet.file))
        peer = transport(f"https://127.0.0.1:{surface.port}", A, key, context)
        early = await failure(peer.call(Method.APPEND, b"rows", 5))
        await peer.call(Method.HELLO, hello(A, key), 5)
        await peer.call(Method.APPEND, b"rows", 5)
        await peer.close()

    assert early.detail == "HTTP 403 peer_unknown"
    assert surface.kept.pins[A].fingerprint == fingerprint(certificate)
    _, _, caller = surface.answered[-1]
    assert (caller.node_id, caller.fingerprint) == (A, fingerprint(certificate))


async def test_a_stolen_certificate_does_not_make_another_node(fleet: Authority):
    """W35: whoever holds any allowlisted certificate could claim any peer id."""
    mine, yours = fleet.issue("node-a"), fleet.issue("node-c")
    key, thief = new_key(), new_key()
    async with Surface().served(guard_of(fleet, mine[0], yours[0])) as surface:
        url = f"https://127.0.0.1:{surface.port}"
        honest = transport(url, A, key, client_context(KeyPair(*mine), Anchors(fleet.file)))
        liar = transport(url, A, thief, client_context(KeyPair(*yours), Anchors(fleet.file)))
        other = transport(url, C, thief, client_context(KeyPair(*mine), Anchors(fleet.file)))
        await honest.call(Method.HELLO, hello(A, key), 5)
        claimed = await failure(liar.call(Method.HELLO, hello(A, thief), 5))
        borrowed = await failure(other.call(Method.HELLO, hello(C, thief), 5))
        for one in (honest, liar, other):
            await one.close()

    assert claimed.detail == "HTTP 403 key_changed"
    assert borrowed.detail == "HTTP 403 certificate_bound"
    assert surface.kept.pins[A].fingerprint == fingerprint(mine[0])


async def test_a_bound_node_shows_a_new_certificate_without_a_failed_call(fleet: Authority):
    old, new = fleet.issue("node-a"), fleet.issue("node-a", name="node-a-new")
    key = new_key()
    async with Surface().served(guard_of(fleet, old[0], new[0])) as surface:
        anchors = Anchors(fleet.file)
        url = f"https://127.0.0.1:{surface.port}"
        peer = transport(url, A, key, client_context(KeyPair(*old), anchors))
        await peer.call(Method.HELLO, hello(A, key), 5)
        await peer.call(Method.APPEND, b"1", 5)
        peer.exchange(client_context(KeyPair(*new), anchors))
        await peer.call(Method.APPEND, b"2", 5)
        await peer.close()
    assert surface.kept.pins[A].fingerprint == fingerprint(new[0])


@pytest.mark.parametrize("shown", ["none", "not on the list", "of another authority", "expired"])
async def test_no_client_gets_to_speak_http_without_an_admitted_certificate(
    fleet: Authority, tmp_path: Path, shown: str
):
    admitted = fleet.issue("node-a")
    expired = fleet.issue("node-x", ends_in=timedelta(seconds=-5))
    (tmp_path / "other").mkdir()
    foreign = Authority(tmp_path / "other", "foreign").issue("node-f")
    pair = {
        "none": None,
        "not on the list": fleet.issue("node-c"),
        "of another authority": foreign,
        "expired": expired,
    }[shown]
    guard = guard_of(fleet, admitted[0], foreign[0], expired[0])
    context = client_context(None if pair is None else KeyPair(*pair), Anchors(fleet.file))
    async with Surface().served(guard) as surface:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"https://127.0.0.1:{surface.port}/api/v1/here")
        peer = transport(f"https://127.0.0.1:{surface.port}", A, new_key(), context)
        error = await failure(peer.call(Method.HELLO, b"", 5))
        await peer.close()
        good = client_context(KeyPair(*admitted), Anchors(fleet.file))
        async with httpx.AsyncClient(verify=good, trust_env=False) as client:
            reply = await client.get(f"https://127.0.0.1:{surface.port}/api/v1/here")

    assert error.failure in {Failure.REFUSED, Failure.UNREACHABLE}
    assert reply.status_code == 200


async def test_nothing_of_a_refused_client_is_read(fleet: Authority):
    """The request is sent in one piece with the end of the handshake, and still unheard."""
    admitted, refused = fleet.issue("node-a"), fleet.issue("node-c")
    context = client_context(KeyPair(*refused), Anchors(fleet.file))
    async with Surface().served(guard_of(fleet, admitted[0])) as surface:
        reader, writer = await asyncio.open_connection("127.0.0.1", surface.port, ssl=context)
        writer.write(b"GET /api/v1/here HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        with suppress(ConnectionError, ssl.SSLError):
            answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer == b""


async def test_a_self_signed_client_is_its_own_anchor(fleet: Authority, tmp_path: Path):
    folder = tmp_path / "clients"
    folder.mkdir()
    certificate, private = self_signed(folder, "node-s")
    private.rename(tmp_path / "node-s.key")
    guard = guard_of(fleet, certificate, folder=folder)
    own = KeyPair(certificate, tmp_path / "node-s.key")
    async with Surface().served(guard) as surface:
        context = client_context(own, Anchors(fleet.file))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            reply = await client.get(f"https://127.0.0.1:{surface.port}/api/v1/here")
    assert reply.status_code == 200


def test_client_certificates_that_nobody_could_verify_are_refused_at_once(fleet: Authority):
    own = KeyPair(*fleet.issue("127.0.0.1"))
    with pytest.raises(TlsFileError, match="--quorum-ca-cert"):
        server_context(own, Anchors())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_tls_are_spoken(fleet: Authority, version: ssl.TLSVersion):
    pair = fleet.issue("node-a")
    context = client_context(KeyPair(*pair), Anchors(fleet.file))
    context.minimum_version = context.maximum_version = version
    key = new_key()
    async with Surface().served(guard_of(fleet, pair[0])) as surface:
        peer = transport(f"https://127.0.0.1:{surface.port}", A, key, context)
        await peer.call(Method.HELLO, hello(A, key), 5)
        await peer.close()
    assert surface.answered[0][2].fingerprint == fingerprint(pair[0])


async def test_a_header_forges_no_fingerprint(fleet: Authority):
    pair = fleet.issue("node-a")
    key = new_key()
    async with Surface().served(plain_tls(fleet)) as surface:
        context = client_context(KeyPair(*pair), Anchors(fleet.file))
        peer = transport(f"https://127.0.0.1:{surface.port}", A, key, context)
        await peer.call(Method.HELLO, hello(A, key), 5)
        await peer.call(Method.APPEND, b"rows", 5)
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            reply = await client.post(
                f"https://127.0.0.1:{surface.port}/api/v2/fed/append",
                content=b"rows",
                headers={
                    "x-client-fingerprint": fingerprint(pair[0]),
                    "x-peer-id": A,
                    "ai_memory.client_certificate": fingerprint(pair[0]),
                },
            )
        await peer.close()
    assert {who.fingerprint for _, _, who in surface.answered} == {None}
    assert reply.status_code == 401


async def test_a_server_with_the_wrong_name_is_not_spoken_to(fleet: Authority):
    guard = Guard(LiveContext(server_context(KeyPair(*fleet.issue("node-b")), None)))
    async with Surface().served(guard) as surface:
        context = client_context(None, Anchors(fleet.file))
        peer = transport(f"https://127.0.0.1:{surface.port}", A, new_key(), context)
        error = await failure(peer.call(Method.HELLO, b"", 5))
        await peer.close()
    assert error.failure is Failure.REFUSED
    assert "not valid for '127.0.0.1'" in error.detail


async def test_a_server_of_an_unknown_authority_is_not_spoken_to(fleet: Authority, tmp_path: Path):
    """W36: with a client certificate any server certificate was accepted."""
    (tmp_path / "other").mkdir()
    foreign = Authority(tmp_path / "other", "foreign")
    own = KeyPair(*fleet.issue("node-a"))
    async with Surface().served(plain_tls(foreign)) as surface:
        peer = transport(
            f"https://127.0.0.1:{surface.port}",
            A,
            new_key(),
            client_context(own, Anchors(fleet.file)),
        )
        error = await failure(peer.call(Method.HELLO, b"", 5))
        await peer.close()
    assert error.failure is Failure.REFUSED
    assert error.is_permanent
    assert "certificate is not believed" in error.detail


@pytest.mark.parametrize("is_right", [True, False])
async def test_a_pinned_server_is_known_by_its_certificate_alone(
    fleet: Authority, tmp_path: Path, is_right: bool
):
    (tmp_path / "other").mkdir()
    certificate, private = self_signed(tmp_path / "other", "nobody")
    guard = Guard(LiveContext(server_context(KeyPair(certificate, private), None)))
    key = new_key()
    async with Surface().served(guard) as surface:
        pin = fingerprint(certificate) if is_right else "0" * 64
        peer = transport(f"https://127.0.0.1:{surface.port}", A, key, pinned_context(None, pin))
        if is_right:
            await peer.call(Method.HELLO, hello(A, key), 5)
        else:
            error = await failure(peer.call(Method.HELLO, hello(A, key), 5))
            assert error.failure is Failure.REFUSED
            assert "not the pinned one" in error.detail
        await peer.close()
    assert len(surface.answered) == is_right


async def test_plaintext_to_a_tls_port_and_tls_to_a_plaintext_port_fail(fleet: Authority):
    async with Surface().served(plain_tls(fleet)) as tls:
        peer = transport(f"http://127.0.0.1:{tls.port}", A, new_key())
        plain = await failure(peer.call(Method.HELLO, b"", 5))
        await peer.close()
    async with Surface().served() as surface:
        context = client_context(None, Anchors(fleet.file))
        peer = transport(f"https://127.0.0.1:{surface.port}", A, new_key(), context)
        encrypted = await failure(peer.call(Method.HELLO, b"", 5))
        await peer.close()
    assert plain.failure in {Failure.UNREACHABLE, Failure.INCOMPATIBLE}
    assert encrypted.failure is Failure.INCOMPATIBLE


async def test_failures_have_names(fleet: Authority):
    key = new_key()
    surface = Surface()
    async with surface.served():
        url = f"http://127.0.0.1:{surface.port}"
        peer = transport(url, A, key)
        await peer.call(Method.HELLO, hello(A, key), 5)
        too_large = await failure(peer.call(Method.APPEND, bytes(17_000_000), 10))
        garbage = await failure(peer.call(Method.HELLO, b"no hello", 5))
        elsewhere = transport(f"{url}/nothing", A, key)
        not_found = await failure(elsewhere.call(Method.HELLO, hello(A, key), 5))
        for one in (peer, elsewhere):
            await one.close()
    refused = await failure(peer.call(Method.APPEND, b"", 5))
    unknown = await failure(transport("http://nowhere.invalid", A, key).call(Method.LOG, b"", 5))

    assert too_large.failure is Failure.TOO_LARGE
    assert (garbage.failure, garbage.detail) == (Failure.REFUSED, "HTTP 400 malformed_message")
    assert (not_found.failure, not_found.status) == (Failure.INCOMPATIBLE, 404)
    assert (refused.failure, refused.detail) == (Failure.UNREACHABLE, "Connection refused")
    assert unknown.failure is Failure.UNREACHABLE


async def test_a_silent_peer_is_a_timeout_and_its_late_answer_nobody_elses():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    peer = transport(f"http://127.0.0.1:{port}", A, new_key())
    first = await failure(peer.call(Method.LOG, b"", 0.1))
    assert await peer.call(Method.LOG, b"", 5) == b"late"
    await peer.close()
    server.close()
    await server.wait_closed()
    assert first.failure is Failure.TIMEOUT


@pytest.mark.parametrize(
    "answer",
    [
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"\x15\x03\x01\x00",
    ],
)
async def test_what_is_no_answer_is_no_peer(answer: bytes):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    peer = transport(f"http://127.0.0.1:{port}", A, new_key())
    error = await failure(peer.call(Method.LOG, b"", 5))
    await peer.close()
    server.close()
    await server.wait_closed()
    assert error.failure is Failure.INCOMPATIBLE


async def test_calls_share_a_connection_that_is_kept_and_survive_its_end():
    key = new_key()
    surface = Surface()
    async with surface.served():
        url = f"http://127.0.0.1:{surface.port}"
        peer = transport(url, A, key)
        await peer.call(Method.HELLO, hello(A, key), 5)
        for _ in range(10):
            await peer.call(Method.APPEND, b"x", 5)
        addresses = {who.address for _, _, who in surface.answered}
    async with surface.served():
        await peer.call(Method.APPEND, b"y", 5)
        await peer.close()
    assert len(addresses) == 1


async def test_calls_at_once_do_not_wait_for_one_another():
    key = new_key()
    async with Surface().served() as surface:
        peer = transport(f"http://127.0.0.1:{surface.port}", A, key)
        await peer.call(Method.HELLO, hello(A, key), 5)
        bodies = [str(number).encode() for number in range(20)]
        answers = await asyncio.gather(*(peer.call(Method.LOG, one, 5) for one in bodies))
        await peer.close()
    assert answers == [b"<" + one + b">" for one in bodies]


async def test_a_revoked_client_loses_its_open_connection(fleet: Authority):
    stays, leaves = fleet.issue("node-a"), fleet.issue("node-c")
    guard = guard_of(fleet, stays[0], leaves[0])
    assert guard.admission is not None
    keys = {A: new_key(), C: new_key()}
    async with Surface().served(guard) as surface:
        url = f"https://127.0.0.1:{surface.port}"
        contexts = {
            A: client_context(KeyPair(*stays), Anchors(fleet.file)),
            C: client_context(KeyPair(*leaves), Anchors(fleet.file)),
        }
        peers = {name: transport(url, name, keys[name], contexts[name]) for name in (A, C)}
        for name, peer in peers.items():
            await peer.call(Method.HELLO, hello(name, keys[name]), 5)
        guard.admission.replace(parse_allowlist(fingerprint(stays[0])))
        assert guard.admission.sweep() == 1
        await peers[A].call(Method.APPEND, b"still", 5)
        error = await failure(peers[C].call(Method.APPEND, b"gone", 5))
        for peer in peers.values():
            await peer.close()
    assert error.failure is Failure.UNREACHABLE
    assert (Method.APPEND, b"gone") not in [(one, body) for one, body, _ in surface.answered]


async def test_an_entry_of_the_allowlist_that_ran_out_admits_nobody(fleet: Authority):
    pair = fleet.issue("node-a")
    clock = MovedClock()
    tomorrow = (clock.now() + timedelta(days=1)).date()
    allowlist = parse_allowlist(f"{fingerprint(pair[0])} # node-a expires={tomorrow}")
    own = KeyPair(*fleet.issue("127.0.0.1", name="server"))
    admission = ClientAdmission(allowlist, clock)
    guard = Guard(LiveContext(server_context(own, Anchors(fleet.file))), admission)
    key = new_key()
    async with Surface().served(guard) as surface:
        context = client_context(KeyPair(*pair), Anchors(fleet.file))
        peer = transport(f"https://127.0.0.1:{surface.port}", A, key, context)
        await peer.call(Method.HELLO, hello(A, key), 5)
        assert admission.sweep() == 0
        clock.ahead = timedelta(days=1)
        assert admission.sweep() == 1
        error = await failure(peer.call(Method.APPEND, b"late", 5))
        await peer.close()
    assert error.failure is Failure.UNREACHABLE
    assert "allowlist" in error.detail


async def test_a_server_changes_its_certificate_and_authority_under_open_connections(
    fleet: Authority, tmp_path: Path
):
    (tmp_path / "new").mkdir()
    renewed = Authority(tmp_path / "new", "renewed")
    old, new = fleet.issue("node-a"), renewed.issue("node-a")
    guard = guard_of(fleet, old[0], new[0])
    key = new_key()
    async with Surface().served(guard) as surface:
        url = f"https://127.0.0.1:{surface.port}"
        peer = transport(url, A, key, client_context(KeyPair(*old), Anchors(fleet.file)))
        await peer.call(Method.HELLO, hello(A, key), 5)
        guard.context.exchange(
            server_context(KeyPair(*renewed.issue("127.0.0.1")), Anchors(renewed.file))
        )
        await peer.call(Method.APPEND, b"on the old connection", 5)
        peer.exchange(client_context(KeyPair(*new), Anchors(renewed.file)))
        await peer.call(Method.APPEND, b"on a new one", 5)
        await peer.close()
    assert surface.kept.pins[A].fingerprint == fingerprint(new[0])


async def test_a_node_that_must_be_vouched_for_is_not_bound_on_its_own_word():
    key = new_key()
    surface = Surface(required=True)
    async with surface.served():
        peer = transport(f"http://127.0.0.1:{surface.port}", A, key)
        error = await failure(peer.call(Method.HELLO, hello(A, key, "host:a"), 5))
        surface.enrolled["host:a"] = key.public_bytes
        await peer.call(Method.HELLO, hello(A, key, "host:a"), 5)
        await peer.close()
    assert error.detail == "HTTP 403 peer_not_enrolled"

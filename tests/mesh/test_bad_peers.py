"""Who should not be heard is not, what should not be taken is not, and the mesh goes on.

The bad peer holds a certificate of the fleet's own authority that is on the allowlist: it is a
node that turned bad, which is the most that an outsider can become.
"""

import ssl
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from app.log import drafts
from app.log.entry import GENESIS_HASH, seal
from app.log.hlc import pack
from app.log.signing import sign_head
from app.replication.http_transport import Credentials, HttpTransport
from app.replication.messages import (
    Ack,
    Append,
    Method,
    decode_message,
    encode_message,
    pack_run,
)
from app.replication.ports import Failure, PeerCallError
from app.replication.request_proof import Prover
from tests.contract.store.conftest import memory
from tests.faults.waiting import wait_for
from tests.integration.mesh.surface import hello, new_key
from tests.mesh.seeing import (
    MEMORIES,
    allow_admins,
    client_of,
    is_connected,
    status_of,
)
from tools.fleet.authority import Authority, Issued
from tools.fleet.fleet import Fleet, FleetNode, FleetOptions

MALLORY = "e" * 16
OVERSIZED_BYTES = 80 * 1024 * 1024
YEAR_MS = 365 * 86_400_000


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> list[Issued]:
    """The certificate of the bad peer, once it is made."""
    return []


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, bad: list[Issued]) -> Iterator[Fleet]:
    """Two nodes, and a third certificate on their allowlist."""
    made = Fleet(tmp_path_factory.mktemp("fleet"), FleetOptions(nodes=2, quorum_writes=2))
    allow_admins(made)
    bad.append(made.authority.issue("mallory"))
    made.allowlist.write_text(made.allowlist.read_text() + bad[0].fingerprint + "\n")
    try:
        made.start()
        wait_for(partial(is_connected, made), "a mesh")
        yield made
    finally:
        made.close()


@pytest.fixture
def victim(fleet: Fleet) -> FleetNode:
    return fleet["node-a"]


@pytest.fixture(autouse=True)
def unaffected(fleet: Fleet) -> Iterator[None]:
    """After every test both nodes are connected and equal, and writes have their copies."""
    yield
    wait_for(partial(is_connected, fleet), "a mesh")
    for node in fleet:
        with client_of(fleet, node) as client:
            body = {"title": f"after {time.time_ns()}", "content": "text"}
            assert client.post(MEMORIES, json=body).status_code == 201
    wait_until_equal_but_for_quarantine(fleet)


def wait_until_equal_but_for_quarantine(fleet: Fleet) -> None:
    """Far-future entries of the bad peer stay apart at whom it gave them to."""

    def equal() -> bool:
        found = [status_of(fleet, node) for node in fleet]
        return len({one["digest"] for one in found}) == 1

    wait_for(equal, "equal nodes")


KEY = new_key()


@pytest.fixture
async def mallory(
    fleet: Fleet, bad: list[Issued], victim: FleetNode
) -> AsyncIterator[HttpTransport]:
    """The bad peer's calls to its victim, which it said hello to."""
    made = HttpTransport(
        victim.url, context_of(fleet, bad[0]), Credentials(Prover(MALLORY, KEY), dict, None)
    )
    await made.call(Method.HELLO, hello(MALLORY, KEY, "mallory"), 5)
    yield made
    await made.close()


def context_of(fleet: Fleet, issued: Issued) -> ssl.SSLContext:
    found = fleet.client_context(issued)
    assert isinstance(found, ssl.SSLContext)
    return found


def pushed(count: int, hlc: int, origin: str, key: Any = KEY) -> bytes:
    """A push of entries of one origin, signed."""
    entries = []
    before = GENESIS_HASH
    for number in range(1, count + 1):
        row = memory(f"{origin}-{number}")
        entries.append(seal(drafts.store(row, "mallory"), origin, number, hlc + number, before))
        before = entries[-1].hash
    run = pack_run(origin, 0, GENESIS_HASH, entries, sign_head(key, entries[-1]))
    return encode_message(Append(MALLORY, 0, [run]))


async def refusal(calling: Any) -> PeerCallError:
    with pytest.raises(PeerCallError) as raised:
        await calling
    return raised.value


def test_nobody_gets_in_without_a_certificate_of_the_fleet(fleet: Fleet, victim: FleetNode):
    stranger = Authority(fleet.folder / "strangers").issue("node-b-client")
    unlisted = fleet.authority.issue("unlisted")
    bare = ssl.create_default_context(cafile=str(fleet.authority.file))
    for context in (bare, context_of(fleet, stranger), context_of(fleet, unlisted)):
        with (
            httpx.Client(verify=context, trust_env=False, timeout=5) as client,
            pytest.raises(httpx.TransportError),
        ):
            client.get(f"{victim.url}/api/v1/health")


async def test_a_listed_certificate_does_not_make_another_node(
    fleet: Fleet, bad: list[Issued], victim: FleetNode, mallory: HttpTransport
):
    """W35: any certificate on the allowlist could claim any peer's id."""
    stolen = status_of(fleet, fleet["node-b"])["node_id"]
    liar = HttpTransport(
        victim.url, context_of(fleet, bad[0]), Credentials(Prover(stolen, KEY), dict, None)
    )
    error = await refusal(liar.call(Method.HELLO, hello(stolen, KEY, "node-b"), 5))
    await liar.close()
    assert error.failure is Failure.REFUSED
    as_another = Append(stolen, 0)
    spoke = await refusal(mallory.call(Method.APPEND, encode_message(as_another), 5))
    assert spoke.detail == "HTTP 403 node_id_mismatch"


async def test_another_nodes_origin_is_not_written(
    fleet: Fleet, victim: FleetNode, mallory: HttpTransport
):
    theirs = status_of(fleet, fleet["node-b"])["origin"]
    own = status_of(fleet, victim)["origin"]
    now = pack(time.time_ns() // 1_000_000)
    for origin in (theirs, own):
        answer = await mallory.call(Method.APPEND, pushed(1, now, origin), 5)
        ack = decode_message(Ack, answer)
        assert [one.origin for one in ack.refused] == [origin]
    with client_of(fleet, victim) as client:
        assert client.get(f"{MEMORIES}/{theirs}-1").status_code == 404


async def test_a_push_that_is_sent_twice_changes_nothing(
    fleet: Fleet, victim: FleetNode, mallory: HttpTransport
):
    now = pack(time.time_ns() // 1_000_000)
    first = decode_message(
        Ack, await mallory.call(Method.APPEND, pushed(2, now, f"{MALLORY}.3"), 5)
    )
    before = status_of(fleet, victim)["digest"]
    again = decode_message(
        Ack, await mallory.call(Method.APPEND, pushed(2, now, f"{MALLORY}.3"), 5)
    )
    assert first.decided_up_to == again.decided_up_to == {f"{MALLORY}.3": 2}
    assert status_of(fleet, victim)["digest"] == before


@pytest.mark.parametrize("body", [b"", b"\x80", b"{}", b"\xff" * 1_000, b"[" * 100_000])
@pytest.mark.parametrize("method", [Method.HELLO, Method.APPEND, Method.LOG])
async def test_garbage_is_refused_by_name(mallory: HttpTransport, method: Method, body: bytes):
    error = await refusal(mallory.call(method, body, 5))
    assert error.detail == "HTTP 400 malformed_message"


async def test_what_is_too_large_is_refused(mallory: HttpTransport):
    error = await refusal(mallory.call(Method.APPEND, bytes(OVERSIZED_BYTES), 30))
    assert error.failure in {Failure.TOO_LARGE, Failure.UNREACHABLE}


async def test_entries_of_the_far_future_are_kept_apart_and_counted(
    fleet: Fleet, victim: FleetNode, mallory: HttpTransport
):
    """W4: one row of the year 2099 stopped everything that came after it."""
    before = status_of(fleet, victim)["quarantined"]
    future = pack(time.time_ns() // 1_000_000 + 10 * YEAR_MS)
    origin = f"{MALLORY}.5"
    ack = decode_message(Ack, await mallory.call(Method.APPEND, pushed(3, future, origin), 5))
    assert [(one.origin, one.seq) for one in ack.refused] == [(origin, 1), (origin, 2), (origin, 3)]
    status = status_of(fleet, victim)
    assert status["quarantined"] == before + 3
    with client_of(fleet, victim) as client:
        made = client.post(MEMORIES, json={"title": "now", "content": "text"}).json()
        assert made["created_at"][:4] == time.strftime("%Y", time.gmtime())


async def test_each_protocols_garbage_on_the_others_port(
    fleet: Fleet, bad: list[Issued], victim: FleetNode, mallory: HttpTransport
):
    old = b'{"sender_agent_id": "mallory", "memories": [{"id": 1}], "dry_run": false}'
    error = await refusal(mallory.call(Method.APPEND, old, 5))
    assert error.failure is Failure.REFUSED
    context = context_of(fleet, bad[0])
    native = encode_message(Append(MALLORY, 0))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=5) as client:
        for content, kind in ((native, "application/msgpack"), (native, "application/json")):
            reply = await client.post(
                f"{victim.url}/api/v1/sync/push", content=content, headers={"Content-Type": kind}
            )
            assert 400 <= reply.status_code < 500

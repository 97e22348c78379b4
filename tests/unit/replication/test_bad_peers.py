"""What a peer may not do, whatever it sends."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.log import drafts
from app.log.entry import GENESIS_HASH, Entry, seal
from app.log.hlc import pack
from app.log.signing import sign_head
from app.replication.answers import UnknownMethodError
from app.replication.messages import (
    Ack,
    Append,
    MalformedMessageError,
    Method,
    Page,
    Pull,
    Run,
    WireEntry,
    decode_message,
    encode_message,
    pack_run,
)
from app.replication.ports import Caller, UntrustedPeerError
from tests.contract.store.conftest import memory
from tests.unit.replication.cluster import Cluster, Node, settle
from tests.unit.replication.virtual_time import START, virtual

NOW = pack(int(START.timestamp() * 1000))


def chain(origin: str, count: int, after: Entry | None = None, mark: str = "") -> list[Entry]:
    """Entries of an origin that follow one another."""
    found: list[Entry] = [] if after is None else [after]
    for _ in range(count):
        last = found[-1] if found else None
        number = 1 if last is None else last.seq + 1
        row = memory(f"{origin}{mark}-{number}")
        hash_before = GENESIS_HASH if last is None else last.hash
        found.append(seal(drafts.store(row, "mallory"), origin, number, NOW + number, hash_before))
    return found if after is None else found[1:]


def run_of(entries: list[Entry], signer: Node | None, *, before: bytes = GENESIS_HASH) -> Run:
    head = entries[-1]
    signature = None if signer is None else sign_head(signer.key, head)
    return pack_run(head.origin, entries[0].seq - 1, before, entries, signature)


async def push(
    source: Node, target: Node, *runs: Run, claiming: str | None = None, now_ms: int = 0
) -> Ack:
    """What `target` answers to a push by `source`, or by who holds its certificate."""
    assert source.node_id is not None
    message = Append(claiming or source.node_id, now_ms, list(runs))
    answer = await target.running.answer(
        Method.APPEND, encode_message(message), Caller(None, source.node_id, source.name)
    )
    return decode_message(Ack, answer)


async def pair(cluster: Cluster) -> tuple[Node, Node, str]:
    """A node, a peer of it that will misbehave, and an origin of that peer's own."""
    victim, liar = await cluster.full("vx")
    await settle()
    return victim, liar, f"{liar.node_id}.9"


@virtual
async def test_a_stranger_is_not_heard(cluster: Cluster):
    victim, _, _ = await pair(cluster)
    for method in (Method.APPEND, Method.LOG):
        with pytest.raises(UntrustedPeerError) as refused:
            await victim.running.answer(method, b"", Caller("ab" * 32, None, "10.0.0.9"))
        assert refused.value.code == "unknown_peer"


@virtual
async def test_a_node_cannot_speak_as_another(cluster: Cluster):
    victim, liar, _ = await pair(cluster)
    with pytest.raises(UntrustedPeerError) as refused:
        await push(liar, victim, claiming="00112233445566aa")
    assert refused.value.code == "node_id_mismatch"


@virtual
async def test_a_hello_in_our_own_name_is_refused(cluster: Cluster):
    victim, liar, _ = await pair(cluster)
    own = encode_message(await victim.hello())
    with pytest.raises(UntrustedPeerError) as refused:
        await victim.running.answer(Method.HELLO, own, Caller(None, liar.node_id, "x"))
    assert refused.value.code == "identity_refused"


@virtual
async def test_a_node_signs_what_is_its_own(cluster: Cluster):
    victim, liar, origin = await pair(cluster)
    entries = chain(origin, 3)
    for bad in (run_of(entries, None), run_of(entries, victim)):
        ack = await push(liar, victim, bad)
        assert ack.decided_up_to == {origin: 0}
        assert [(one.seq, one.code) for one in ack.refused] == [(1, "bad_signature")]
    assert (await push(liar, victim, run_of(entries, liar))).decided_up_to == {origin: 3}


@virtual
async def test_a_relay_cannot_change_what_an_author_signed(cluster: Cluster):
    victim, liar, honest = await cluster.full("vxh")
    await settle()
    origin = f"{honest.node_id}.9"
    run = run_of(chain(origin, 2, mark="!"), honest)
    forged = run_of(chain(origin, 2, mark="?"), None)
    ack = await push(liar, victim, Run(*(*_fields(forged)[:4], run.signature)))
    assert ack.decided_up_to == {origin: 0}
    assert [one.code for one in ack.refused] == ["bad_signature"]
    assert (await push(liar, victim, run)).decided_up_to == {origin: 2}


def _fields(run: Run) -> tuple[str, int, bytes, list[WireEntry], bytes | None]:
    return run.origin, run.after, run.after_hash, run.entries, run.signature


@virtual
async def test_bad_runs_stop_their_origin_and_no_other(cluster: Cluster):
    victim, liar, origin = await pair(cluster)
    entries = chain(origin, 4)
    good = run_of(chain(f"{liar.node_id}.8", 2), liar)
    fields = _fields(run_of(entries, liar))
    swapped = Run(*fields[:3], [fields[3][1], fields[3][0]], fields[4])
    cut = Run(*fields[:3], [WireEntry(b"no header", b"")], fields[4])
    elsewhere = Run("00112233445566aa.1", *fields[1:])
    nameless = Run(*fields[:3], [WireEntry(fields[3][0].header)], fields[4])
    for bad in (swapped, cut, elsewhere, nameless):
        ack = await push(liar, victim, bad, good)
        assert ack.decided_up_to[bad.origin] == 0
        assert ack.decided_up_to[good.origin] == 2
        assert [one.origin for one in ack.refused] == [bad.origin]


@virtual
async def test_a_gap_is_told_by_where_the_log_ends_here(cluster: Cluster):
    victim, liar, origin = await pair(cluster)
    entries = chain(origin, 5)
    ack = await push(liar, victim, run_of(entries[2:], liar, before=entries[1].hash))
    assert (ack.decided_up_to, ack.refused) == ({origin: 0}, [])
    assert (await push(liar, victim, run_of(entries, liar))).decided_up_to == {origin: 5}


@virtual
async def test_a_replayed_push_changes_nothing(cluster: Cluster):
    victim, liar, origin = await pair(cluster)
    entries = chain(origin, 5)
    await push(liar, victim, run_of(entries, liar))
    before = await victim.store.digests()
    for _ in range(3):
        ack = await push(liar, victim, run_of(entries, liar))
        assert (ack.decided_up_to, ack.refused) == ({origin: 5}, [])
    assert await victim.store.digests() == before
    assert victim.running.receiver.counts.known == 15


@virtual
async def test_a_second_history_is_refused_and_kept_apart(cluster: Cluster):
    victim, liar, origin = await pair(cluster)
    await push(liar, victim, run_of(chain(origin, 5), liar))
    ack = await push(liar, victim, run_of(chain(origin, 7, mark="?"), liar))
    assert ack.decided_up_to == {origin: 5}
    assert {one.code for one in ack.refused} == {"fork"}
    assert (await victim.running.status()).quarantine_codes == {"fork": 1}


@virtual
async def test_a_malformed_payload_is_put_aside_and_passed(cluster: Cluster):
    victim, liar, origin = await pair(cluster)
    good = chain(origin, 1)
    bad = seal(
        replace(drafts.delete(["m"], "mallory", "never", archived=False, reason="x")),
        *(origin, 2, NOW + 2, good[0].hash),
    )
    more = chain(origin, 1, after=bad)
    ack = await push(liar, victim, run_of([*good, bad, *more], liar))
    assert ack.decided_up_to == {origin: 3}
    assert [(one.seq, one.code) for one in ack.refused] == [(2, "malformed_payload")]
    # It is said again to whoever asks again, since the ack may have been lost.
    again = await push(liar, victim, run_of([*good, bad, *more], liar))
    assert again.decided_up_to == {origin: 3}


@virtual
async def test_nobody_writes_under_our_own_origin(cluster: Cluster):
    victim, liar, _ = await pair(cluster)
    await victim.write()
    await settle()
    own = victim.running.here.origin
    before = await victim.clocks()
    entries = chain(own, 3)
    ack = await push(liar, victim, run_of(entries, liar))
    assert ack.decided_up_to[own] == before[own]
    assert await victim.shown(f"{own}-1") is None


@virtual
async def test_a_page_has_bounds_whatever_is_asked(cluster: Cluster):
    victim, liar, _ = await pair(cluster)
    await victim.write_many(200, content="x" * 60_000)
    await settle(5)
    assert liar.node_id is not None
    asked = Pull(liar.node_id, {}, 1 << 60)
    answer = await victim.running.answer(
        Method.LOG, encode_message(asked), Caller(None, liar.node_id, "x")
    )
    assert len(answer) < 5_000_000
    page = decode_message(Page, answer)
    assert page.more
    none = Pull(liar.node_id, {victim.running.here.origin: 1 << 62}, -5, ["nobody"])
    answer = await victim.running.answer(
        Method.LOG, encode_message(none), Caller(None, liar.node_id, "x")
    )
    assert decode_message(Page, answer).runs == []


@virtual
async def test_a_method_that_nobody_answers_is_refused_as_such(cluster: Cluster):
    victim, liar, _ = await pair(cluster)
    victim.running.answers._handlers.pop(Method.LOG)
    with pytest.raises(UnknownMethodError):
        await victim.running.answer(Method.LOG, b"", Caller(None, liar.node_id, "x"))


@given(
    method=st.sampled_from([Method.HELLO, Method.APPEND, Method.LOG]),
    body=st.binary(max_size=64)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=4) | st.binary(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["node_id", "now_ms", "runs", "clock", "after", "max_bytes"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ),
)
@settings(max_examples=50, deadline=None)
def test_garbage_is_malformed_or_untrusted_and_nothing_else(method, body, tmp_path_factory):
    raw = body if isinstance(body, bytes) else packed(body)

    @virtual
    async def run(cluster: Cluster) -> None:
        node = await cluster.add("v", []).start()
        node.trust.keys["00112233445566aa"] = bytes(32)
        with pytest.raises((MalformedMessageError, UntrustedPeerError)):
            await node.running.answer(method, raw, Caller(None, "00112233445566aa", "x"))

    run(cluster=Cluster(tmp_path_factory.mktemp("garbage")))


def packed(body: object) -> bytes:
    try:
        return msgspec.msgpack.encode(body)
    except OverflowError:
        return b""

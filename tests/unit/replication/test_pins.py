"""Which node is bound to which key and certificate, and what it takes to bind it anew."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.replication.pins import OFFERS_MAX, PINS_MAX, PeerPin, PeerTrust
from app.replication.ports import Caller, UntrustedPeerError

A, B, C = "a" * 16, "b" * 16, "c" * 16
CERTIFICATE, OTHER_CERTIFICATE = "1" * 64, "2" * 64


def key(number: int) -> bytes:
    return (
        Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)).public_key().public_bytes_raw()
    )


KEY, OTHER_KEY = key(1), key(2)


@dataclass
class World:
    """What outlives a process, and what an operator said."""

    kept: dict[str, PeerPin] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)
    credentials: set[tuple[str, bytes]] = field(default_factory=set)
    time: datetime = datetime(2026, 11, 22, tzinfo=UTC)

    def put(self, pin: PeerPin) -> None:
        self.kept[pin.node_id] = pin

    def drop(self, node_id: str) -> None:
        self.kept.pop(node_id, None)

    def enrolled(self, name: str) -> bytes | None:
        return self.keys.get(name)

    def vouched(self, name: str, public_key: bytes) -> bool:
        return (name, public_key) in self.credentials

    def trust(self, *, names_count: bool = False, enrolment_required: bool = False) -> PeerTrust:
        """A process that starts now."""
        return PeerTrust(
            list(self.kept.values()),
            self,
            self,
            lambda: self.time,
            names_count=names_count,
            enrolment_required=enrolment_required,
        )


def caller(node_id: str, fingerprint: str | None = None) -> Caller:
    return Caller(fingerprint, node_id, "192.0.2.1:4711")


def refusal(calling, *arguments) -> str:
    with pytest.raises(UntrustedPeerError) as refused:
        calling(*arguments)
    return refused.value.code


def test_the_first_hello_binds_and_the_binding_outlives_the_process():
    world = World()
    world.trust().admit(caller(A, CERTIFICATE), A, KEY, "node-a")

    later = world.trust()
    assert later.key_of(A) == KEY
    assert later.node_of(Caller(CERTIFICATE, None, "")) == A
    assert later.name_of(A) == "node-a"


def test_nobody_is_known_before_a_hello():
    trust = World().trust()
    assert trust.key_of(A) is None
    assert refusal(trust.node_of, caller(A)) == "peer_unknown"
    assert refusal(trust.node_of, Caller(CERTIFICATE, A, "")) == "peer_unknown"


def test_a_hello_for_another_node_than_the_proven_one_is_refused():
    assert refusal(World().trust().admit, caller(A), B, KEY) == "node_id_mismatch"


def test_32_bytes_that_are_no_key_are_not_bound():
    assert refusal(World().trust().admit, caller(A), A, b"\x02" + bytes(31)) == "key_invalid"


def test_a_changed_key_waits_for_an_operator():
    world = World()
    trust = world.trust()
    trust.admit(caller(A), A, KEY, "node-a")
    assert refusal(trust.admit, caller(A), A, OTHER_KEY, "node-a") == "key_changed"
    assert trust.key_of(A) == KEY

    assert trust.accept(A[:4]).public_key == OTHER_KEY
    trust.admit(caller(A), A, OTHER_KEY, "node-a")
    assert refusal(trust.admit, caller(A), A, KEY, "node-a") == "key_changed"
    assert world.kept[A].public_key == OTHER_KEY


@pytest.mark.parametrize("how", ["key folder", "credential"])
def test_a_changed_key_needs_nobody_where_it_was_vouched_for(how: str):
    world = World()
    trust = world.trust()
    trust.admit(caller(A), A, KEY, "node-a")
    if how == "key folder":
        world.keys["node-a"] = OTHER_KEY
    else:
        world.credentials.add(("node-a", OTHER_KEY))
    trust.admit(caller(A), A, OTHER_KEY, "node-a")
    assert trust.key_of(A) == OTHER_KEY


def test_a_key_in_the_folder_is_the_only_one_for_its_name():
    world = World(keys={"node-a": KEY})
    trust = world.trust()
    assert refusal(trust.admit, caller(A), A, OTHER_KEY, "node-a") == "key_not_enrolled"
    assert trust.offers == []  # accepting would not help: the folder says otherwise
    trust.admit(caller(A), A, KEY, "node-a")


def test_a_certificate_belongs_to_one_node_until_an_operator_says_otherwise():
    world = World()
    trust = world.trust()
    trust.admit(caller(A, CERTIFICATE), A, KEY)
    assert refusal(trust.admit, caller(B, CERTIFICATE), B, OTHER_KEY) == "certificate_bound"
    assert refusal(trust.bind_certificate, CERTIFICATE, C) == "peer_unknown"

    trust.accept(B)
    assert trust.node_of(Caller(CERTIFICATE, None, "")) == B
    assert trust.key_of(A) is None
    assert set(world.kept) == {B}


def test_a_proven_node_may_change_its_certificate():
    trust = World().trust()
    trust.admit(caller(A, CERTIFICATE), A, KEY)
    trust.bind_certificate(OTHER_CERTIFICATE, A)
    assert trust.node_of(Caller(OTHER_CERTIFICATE, None, "")) == A
    assert refusal(trust.node_of, Caller(CERTIFICATE, None, "")) == "peer_unknown"


def test_where_names_decide_none_is_taken_or_changed():
    world = World()
    trust = world.trust(names_count=True)
    trust.admit(caller(A), A, KEY, "wide")
    trust.admit(caller(B), B, OTHER_KEY, "narrow")
    assert refusal(trust.admit, caller(C), C, key(3), "wide") == "name_taken"
    assert refusal(trust.admit, caller(B), B, OTHER_KEY, "other") == "name_changed"
    assert trust.name_of(B) == "narrow"
    world.credentials.add(("other", OTHER_KEY))
    trust.admit(caller(B), B, OTHER_KEY, "other")
    assert trust.name_of(B) == "other"


def test_where_enrolment_is_required_nobody_is_bound_on_his_own_word():
    world = World(credentials={("node-b", OTHER_KEY)})
    trust = world.trust(enrolment_required=True)
    assert refusal(trust.admit, caller(A), A, KEY, "node-a") == "peer_not_enrolled"
    trust.admit(caller(B), B, OTHER_KEY, "node-b")


def test_what_strangers_can_make_us_remember_is_bounded():
    trust = World().trust()
    for number in range(PINS_MAX):
        node = f"{number:016x}"
        trust.admit(caller(node), node, KEY)
    assert refusal(trust.admit, caller(A), A, KEY) == "too_many_peers"
    for number in range(OFFERS_MAX + 5):
        node = f"{number:016x}"
        assert refusal(trust.admit, caller(node), node, OTHER_KEY) == "key_changed"
    assert len(trust.offers) == OFFERS_MAX


def test_accepting_names_one_offer():
    trust = World().trust()
    for node in (A, B):
        trust.admit(caller(node), node, KEY, "same")
        assert refusal(trust.admit, caller(node), node, OTHER_KEY, "same") == "key_changed"
    for named in ("", "same", C):
        with pytest.raises(KeyError):
            trust.accept(named)
    assert trust.accept(B).node_id == B


def test_a_forgotten_node_says_hello_as_a_new_one():
    world = World()
    trust = world.trust()
    trust.admit(caller(A, CERTIFICATE), A, KEY)
    trust.forget(A)
    assert world.kept == {}
    assert trust.bound_to(CERTIFICATE) is None
    world.time += timedelta(days=1)
    trust.admit(caller(A, CERTIFICATE), A, OTHER_KEY)
    assert world.kept[A].first_seen == world.time

"""Proofs of a node's key: they fit one request to one run of one receiver, once."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.bootstrap.sources import SystemRandomness
from app.replication.node_key import Ed25519NodeKey
from app.replication.request_proof import (
    WINDOW,
    ProofRefusedError,
    Prover,
    ReplayWindow,
    Verifier,
    challenge_of,
    read_proof,
)

A, B, C = "a" * 16, "b" * 16, "c" * 16
KEY = Ed25519NodeKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Ed25519NodeKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))


@pytest.fixture
def receiver() -> Verifier:
    return Verifier(B, SystemRandomness())


def refusal(verifier: Verifier, header: str, key: Ed25519NodeKey, method: str, body: bytes) -> str:
    """The code with which a proof is refused; empty if it is taken."""
    try:
        proof = read_proof(header)
        verifier.check(proof, key.public_bytes, method, body)
        verifier.use(proof)
    except ProofRefusedError as refused:
        return refused.code
    return ""


def test_a_proof_is_taken_once(receiver: Verifier):
    header = Prover(A, KEY).proof(receiver.challenge, "append", b"body")

    assert refusal(receiver, header, KEY, "append", b"body") == ""
    assert refusal(receiver, header, KEY, "append", b"body") == "proof_behind"


def test_a_flood_of_later_requests_does_not_make_an_old_one_new(receiver: Verifier):
    """W37: a bounded list of nonces forgets, and then takes what was captured."""
    prover = Prover(A, KEY)
    captured = prover.proof(receiver.challenge, "append", b"body")
    assert refusal(receiver, captured, KEY, "append", b"body") == ""
    for _ in range(3 * WINDOW):
        receiver.use(read_proof(prover.proof(receiver.challenge, "append", b"")))

    assert refusal(receiver, captured, KEY, "append", b"body") == "proof_behind"


def test_a_proof_fits_its_request_its_receiver_and_its_key_alone(receiver: Verifier):
    prover = Prover(A, KEY)
    header = prover.proof(receiver.challenge, "append", b"body")
    assert refusal(receiver, header, KEY, "log", b"body") == "proof_wrong"
    assert refusal(receiver, header, KEY, "append", b"bodY") == "proof_wrong"
    assert refusal(receiver, header, OTHER, "append", b"body") == "proof_wrong"
    as_other = replace(read_proof(header), node_id=C).header
    assert refusal(receiver, as_other, KEY, "append", b"body") == "proof_wrong"
    later = replace(read_proof(header), number=99).header
    assert refusal(receiver, later, KEY, "append", b"body") == "proof_wrong"
    restarted, elsewhere = Verifier(B, SystemRandomness()), Verifier(C, SystemRandomness())
    assert refusal(restarted, header, KEY, "append", b"body") == "proof_session"
    assert refusal(elsewhere, header, KEY, "append", b"body") == "proof_session"


def test_a_restarted_sender_goes_on_above_its_own_numbers(receiver: Verifier):
    before = Prover(A, KEY)
    for _ in range(WINDOW + 5):
        receiver.use(read_proof(before.proof(receiver.challenge, "append", b"")))
    restarted = Prover(A, KEY)
    with pytest.raises(ProofRefusedError) as refused:
        receiver.use(read_proof(restarted.proof(receiver.challenge, "append", b"")))
    assert refused.value.last is not None
    restarted.pass_over(refused.value.last)
    header = restarted.proof(receiver.challenge, "append", b"")

    assert refusal(receiver, header, KEY, "append", b"") == ""


@given(st.text())
def test_any_header_is_a_proof_or_malformed(header: str):
    with suppress(ProofRefusedError):
        proof = read_proof(header)
        assert read_proof(proof.header) == proof


def test_a_challenge_has_a_form_so_that_nothing_else_gets_into_a_header():
    assert challenge_of("b" * 16, "0" * 32) is not None
    for to, session in [
        ("", ""),
        ("b" * 16, "0\r\nx: y"),
        ("B" * 16, "0" * 32),
        ("b" * 16, "z" * 32),
    ]:
        assert challenge_of(to, session) is None


@given(st.lists(st.integers(min_value=1, max_value=3 * WINDOW), max_size=200))
def test_a_window_takes_each_number_at_most_once_and_none_far_behind(numbers: list[int]):
    window = ReplayWindow()
    used: set[int] = set()
    for number in numbers:
        greatest = max(used, default=0)
        fits = number not in used and number > greatest - WINDOW
        assert window.use(number) is fits
        if fits:
            used.add(number)
        assert window.last == max(used, default=0)


@given(st.permutations(range(1, WINDOW + 1)))
def test_requests_may_overtake_one_another(numbers: list[int]):
    window = ReplayWindow()
    taken: Iterator[bool] = map(window.use, numbers)
    assert all(taken)

"""Proof that a request comes from the holder of a node's key, where no certificate says so.

The receiver draws a session when it starts. Whoever calls without a proof, or with one for
another session, is told the session and signs once more: the method, the body, both nodes, the
session and a number that only grows. A proof therefore fits one receiver, one run of it, one
request and one time. What is remembered of a caller is its greatest number and a window below it
(requests may overtake one another): the same few bytes after any number of requests, and nothing
that a flood could push out. No clock is compared.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from app.domain.sources import Randomness
    from app.replication.ports import NodeKey

SCHEME: Final = "AiMemoryNode"
SESSION_BYTES: Final = 16
WINDOW: Final = 1_024
"""How far a request may come after later ones."""
_DOMAIN: Final = b"ai-memory node request v1\x00"
_NUMBER_MAX: Final = 2**63
_NODE: Final = re.compile(r"[0-9a-f]{16}")
_SESSION: Final = re.compile(r"[0-9a-f]{32}")
_FORM: Final = re.compile(
    SCHEME + r" (?P<node>[0-9a-f]{16}):(?P<to>[0-9a-f]{16}):(?P<session>[0-9a-f]{32})"
    r":(?P<number>[0-9]{1,19}):(?P<signature>[A-Za-z0-9_-]{86})"
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a receiver wants to see signed: its node id and its session, in hexadecimal digits."""

    to: str
    session: str


def challenge_of(to: str, session: str) -> Challenge | None:
    """The challenge that a peer sent, None if it has not the form of one."""
    is_whole = _NODE.fullmatch(to) is not None and _SESSION.fullmatch(session) is not None
    return Challenge(to, session) if is_whole else None


class ProofRefusedError(Exception):
    """A proof is missing or does not hold. `code` travels in the answer.

    Codes: `proof_required` and `proof_session` (sign for the challenge), `proof_behind` (sign with
    a number above `last`), `proof_malformed`, `proof_wrong`.
    """

    def __init__(self, code: str, *, last: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.last = last


@dataclass(frozen=True, slots=True)
class Proof:
    """What an `Authorization` header says."""

    node_id: str
    challenge: Challenge
    number: int
    signature: bytes

    @property
    def header(self) -> str:
        """The header's value."""
        signature = urlsafe_b64encode(self.signature).decode("ascii").rstrip("=")
        to = self.challenge
        return f"{SCHEME} {self.node_id}:{to.to}:{to.session}:{self.number}:{signature}"

    def is_signed_by(self, public_key: bytes, method: str, body: bytes) -> bool:
        """Whether the key's holder made this proof for this request."""
        message = _message(self.node_id, self.challenge, self.number, method, body)
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def read_proof(header: str) -> Proof:
    """The proof in a header.

    Raises:
        ProofRefusedError: `proof_malformed`.
    """
    found = _FORM.fullmatch(header)
    if found is None or int(found["number"]) >= _NUMBER_MAX:
        raise ProofRefusedError("proof_malformed")
    return Proof(
        found["node"],
        Challenge(found["to"], found["session"]),
        int(found["number"]),
        urlsafe_b64decode(found["signature"] + "=="),
    )


class Prover:
    """Signs this node's requests; one for all peers, so that numbers never repeat."""

    def __init__(self, node_id: str, key: NodeKey) -> None:
        self._node_id = node_id
        self._key = key
        self._numbers = count(1)

    def proof(self, challenge: Challenge, method: str, body: bytes) -> str:
        """The header for one request; each call is another number."""
        number = next(self._numbers)
        message = _message(self._node_id, challenge, number, method, body)
        return Proof(self._node_id, challenge, number, self._key.sign(message)).header

    def pass_over(self, last: int) -> None:
        """Go on above a number that a receiver has seen of an earlier run of this node."""
        here = next(self._numbers)
        self._numbers = count(max(here, last + 1))


class ReplayWindow:
    """Which numbers of one caller were used: all below the window, and single ones within."""

    __slots__ = ("_greatest", "_seen")

    def __init__(self) -> None:
        self._greatest = 0
        self._seen = 0
        """Bit i: the number `_greatest - i` was used."""

    @property
    def last(self) -> int:
        """The greatest number used."""
        return self._greatest

    def use(self, number: int) -> bool:
        """Take a number; False if it was used or is too far behind."""
        ahead = number - self._greatest
        if ahead > 0:
            self._seen = ((self._seen << ahead) | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
            self._greatest = number
            return True
        bit = 1 << -ahead
        if -ahead >= WINDOW or self._seen & bit:
            return False
        self._seen |= bit
        return True


class Verifier:
    """Checks proofs for one run of one node."""

    def __init__(self, node_id: str, randomness: Randomness) -> None:
        self._challenge = Challenge(node_id, randomness.token(SESSION_BYTES).hex())
        self._windows: dict[str, ReplayWindow] = {}

    @property
    def challenge(self) -> Challenge:
        """What callers must sign."""
        return self._challenge

    def check(self, proof: Proof, public_key: bytes, method: str, body: bytes) -> None:
        """Let a proof pass that holds; whether its number is fresh is another question.

        Raises:
            ProofRefusedError: made for another receiver or run, or not with this key.
        """
        if proof.challenge != self._challenge:
            raise ProofRefusedError("proof_session")
        if not proof.is_signed_by(public_key, method, body):
            raise ProofRefusedError("proof_wrong")

    def use(self, proof: Proof) -> None:
        """Take the number of a checked proof of a known node, once.

        Raises:
            ProofRefusedError: the number was used, or is far behind.
        """
        window = self._windows.setdefault(proof.node_id, ReplayWindow())
        if not window.use(proof.number):
            raise ProofRefusedError("proof_behind", last=window.last)


def _message(node_id: str, to: Challenge, number: int, method: str, body: bytes) -> bytes:
    parts = (node_id.encode(), bytes.fromhex(to.to), bytes.fromhex(to.session), method.encode())
    framed = b"".join(len(part).to_bytes(2) + part for part in parts)
    return b"".join((_DOMAIN, framed, number.to_bytes(8), sha256(body).digest()))

"""What nodes say to each other: one request and one answer a method, as MessagePack.

Entries keep their own canonical bytes; the envelope around them may grow: unknown fields are
skipped, so an older node understands a newer one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from app.domain.errors import EntryRefusedError
from app.log.entry import Entry, chain_hash, open_entry, payload_hash_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PROTOCOL: Final = 1
"""Grows with a change that an older node would misunderstand."""


class Method(StrEnum):
    """What can be asked of a peer; also the last part of the address."""

    HELLO = "hello"
    APPEND = "append"
    LOG = "log"
    DIGEST = "digest"
    BUCKET = "bucket"
    STATES = "states"
    SNAPSHOT = "snapshot"
    VECTORS = "vectors"


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of every message."""


class WireEntry(msgspec.Struct, frozen=True, array_like=True):
    """One entry. `payload_hash` stands in for a payload that was blanked or is withheld."""

    header: bytes
    payload: bytes | None = None
    payload_hash: bytes | None = None


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive entries of one origin, after number `after` whose hash is `after_hash`.

    `signature` covers the last of them (see `app.log.signing`) and with it the whole chain.
    """

    origin: str
    after: int
    after_hash: bytes
    entries: list[WireEntry]
    signature: bytes | None = None


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """An entry that the receiver keeps apart; it counts for nobody's quorum."""

    origin: str
    seq: int
    code: str


class WireHead(msgspec.Struct, frozen=True, array_like=True):
    """The end of an origin's chain."""

    origin: str
    seq: int
    hash: bytes
    hlc: int


class Hello(Message, frozen=True):
    """Who is speaking; both the request and the answer."""

    node_id: str
    origin: str
    identity: str
    store_id: str
    protocol: int
    software: str
    schema: int
    now_ms: int
    public_key: bytes
    clock: dict[str, int]
    model: str | None = None
    cursors: dict[str, dict[str, int]] = {}
    """Node id → its clock, as far as the speaker knows."""
    heads: list[WireHead] = []
    """Where the clock ends, by hash: so a peer sees at once whether both hold one history."""
    refused: list[Refused] = []
    """In an answer: what of the asker's entries is kept apart here, in case acks were lost."""


class Append(Message, frozen=True):
    """Entries for the peer; without any it is a sign of life."""

    node_id: str
    now_ms: int
    runs: list[Run] = []
    clock: dict[str, int] | None = None
    """The sender's clock, when it is news."""
    cursors: dict[str, dict[str, int]] | None = None


class Ack(Message, frozen=True):
    """What is durable at the receiver: cumulative, so a lost one costs nothing."""

    node_id: str
    now_ms: int
    decided_up_to: dict[str, int]
    clock: dict[str, int]
    refused: list[Refused] = []


class Pull(Message, frozen=True):
    """Ask for entries after a clock; of all origins, or only of some."""

    node_id: str
    after: dict[str, int]
    max_bytes: int
    origins: list[str] | None = None


class Page(Message, frozen=True):
    """Entries. An origin in `truncated` starts above what was asked: take a snapshot."""

    clock: dict[str, int]
    runs: list[Run] = []
    more: bool = False
    truncated: dict[str, int] = {}


class DigestsAsked(Message, frozen=True):
    """Ask for the digests of all buckets."""

    node_id: str


class Digests(Message, frozen=True):
    """256 digests of 32 bytes in a row, and the clock at which they hold."""

    clock: dict[str, int]
    digests: bytes
    quarantined: list[Refused] = []


class BucketAsked(Message, frozen=True):
    """Ask for the rows of some buckets."""

    node_id: str
    buckets: list[int]


class BucketRow(msgspec.Struct, frozen=True, array_like=True):
    """One state's key and hash."""

    kind: str
    key: str
    row_hash: bytes


class BucketRows(Message, frozen=True):
    """The rows of the asked buckets."""

    clock: dict[str, int]
    rows: list[BucketRow]


class StatesAsked(Message, frozen=True):
    """Ask for whole states, (kind, key) each."""

    node_id: str
    keys: list[tuple[str, str]]


class WireState(msgspec.Struct, frozen=True, array_like=True):
    """One state in its canonical bytes."""

    kind: str
    key: str
    state: bytes


class States(Message, frozen=True):
    """Those of the asked states that exist."""

    states: list[WireState]


class SnapshotAsked(Message, frozen=True):
    """Ask for a page of everything, after (kind, key) of the page before."""

    node_id: str
    max_bytes: int
    after: tuple[str, str] | None = None


class WireVector(msgspec.Struct, frozen=True, array_like=True):
    """One embedding, float16 little endian."""

    memory_id: str
    stamp: str
    content_hash: bytes
    model: str
    dim: int
    vector: bytes


class SnapshotPage(Message, frozen=True):
    """States and vectors. `heads` were read before the first state: a snapshot holds no less."""

    states: list[WireState]
    vectors: list[WireVector] = []
    heads: list[WireHead] = []
    """On the first page only."""
    next: tuple[str, str] | None = None


class VectorsAsked(Message, frozen=True):
    """Ask for the vectors of memories, of one model."""

    node_id: str
    model: str
    memory_ids: list[str]


class Vectors(Message, frozen=True):
    """Those of the asked vectors that exist."""

    vectors: list[WireVector]


M = TypeVar("M", bound=Message)
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODERS: Final[dict[type[Message], msgspec.msgpack.Decoder[Message]]] = {}


class MalformedMessageError(Exception):
    """The bytes are not the message that was expected."""


def encode_message(message: Message) -> bytes:
    """The message's bytes."""
    return _ENCODER.encode(message)


def decode_message(kind: type[M], body: bytes) -> M:
    """The inverse of `encode_message`.

    Raises:
        MalformedMessageError: anything else.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.msgpack.Decoder(kind)
    try:
        found = decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedMessageError(f"no {kind.__name__}: {error}") from error
    assert isinstance(found, kind)
    return found


def pack_run(
    origin: str, after: int, after_hash: bytes, entries: Sequence[Entry], signature: bytes | None
) -> Run:
    """Consecutive entries as they travel; hashes that the receiver can compute are left out."""
    wire = [
        WireEntry(one.header, one.payload, one.payload_hash if one.payload is None else None)
        for one in entries
    ]
    return Run(origin, after, after_hash, wire, signature)


def open_run(run: Run) -> list[Entry]:
    """The entries of a run, their hashes computed along its chain.

    Raises:
        EntryRefusedError: a malformed entry, or one that is not the next of this origin.
    """
    found: list[Entry] = []
    previous, seq = run.after_hash, run.after
    for one in run.entries:
        payload_hash = one.payload_hash if one.payload is None else payload_hash_of(one.payload)
        if payload_hash is None:
            raise EntryRefusedError("an entry has no payload hash", reason="malformed_header")
        previous = chain_hash(previous, one.header, payload_hash)
        entry = open_entry(one.header, one.payload, payload_hash, previous)
        seq += 1
        if entry.origin != run.origin or entry.seq != seq:
            raise EntryRefusedError(
                f"{entry.origin}:{entry.seq} stands at {run.origin}:{seq}", reason="gap"
            )
        found.append(entry)
    return found

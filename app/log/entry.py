"""One record of the change log: header, payload, and the hash that chains them.

hash = SHA-256(previous hash ‖ header ‖ SHA-256(payload)), a chain per origin.
The payload enters by its own hash, so a purge can blank it and every node can
still verify the chain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from app.domain.errors import EntryRefusedError
from app.log.canonical import CanonicalError, Value, decode, encode, encode_sorted
from app.log.hlc import HLC_MAX

ENTRY_VERSION: Final = 1
HASH_BYTES: Final = 32
GENESIS_HASH: Final = bytes(HASH_BYTES)
SEQ_MAX: Final = (1 << 63) - 1
PAYLOAD_BYTES_MAX: Final = 8 * 1024 * 1024
ENTITY_IDS_MAX: Final = 10_000
_ORIGIN = re.compile(r"[0-9a-z:_-]{1,96}\.[0-9]{1,10}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer wants to say; the log adds origin, sequence number and stamp."""

    kind: str
    actor: str
    entity_ids: tuple[str, ...]
    payload: dict[str, Value]
    policy_seq: int = 0
    after: int = 0
    """The latest stamp inside the payload; the entry's own will be later."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A committed or received record. `payload` is None once blanked or never sent."""

    origin: str
    seq: int
    hlc: int
    kind: str
    actor: str
    policy_seq: int
    entity_ids: tuple[str, ...]
    header: bytes
    payload: bytes | None
    payload_hash: bytes
    hash: bytes


def seal(draft: Draft, origin: str, seq: int, hlc: int, previous_hash: bytes) -> Entry:
    """The entry that `draft` becomes as number `seq` of `origin`."""
    # Keys in canonical order, which makes this the cheap encoding.
    header = encode_sorted(
        {
            "v": ENTRY_VERSION,
            "hlc": hlc,
            "seq": seq,
            "kind": draft.kind,
            "actor": draft.actor,
            "origin": origin,
            "entity_ids": list(draft.entity_ids),
            "policy_seq": draft.policy_seq,
        },
    )
    payload = encode(draft.payload)
    payload_hash = payload_hash_of(payload)
    return Entry(
        origin=origin,
        seq=seq,
        hlc=hlc,
        kind=draft.kind,
        actor=draft.actor,
        policy_seq=draft.policy_seq,
        entity_ids=draft.entity_ids,
        header=header,
        payload=payload,
        payload_hash=payload_hash,
        hash=chain_hash(previous_hash, header, payload_hash),
    )


def payload_hash_of(payload: bytes) -> bytes:
    """The hash by which a payload enters its chain."""
    return sha256(payload).digest()


def chain_hash(previous_hash: bytes, header: bytes, payload_hash: bytes) -> bytes:
    """The hash of an entry that follows the one hashed `previous_hash`."""
    return sha256(previous_hash + header + payload_hash).digest()


def follows(entry: Entry, previous_hash: bytes) -> bool:
    """Whether the entry's hash is the one its chain gives it after `previous_hash`."""
    return entry.hash == chain_hash(previous_hash, entry.header, entry.payload_hash)


def open_entry(
    header: bytes, payload: bytes | None, payload_hash: bytes, entry_hash: bytes
) -> Entry:
    """An entry out of stored or received bytes; unknown header keys and kinds are kept.

    Raises:
        EntryRefusedError: `malformed_header`, `payload_mismatch` or `payload_too_large`.
    """
    try:
        fields = decode(header)
    except CanonicalError as error:
        raise EntryRefusedError(str(error), reason="malformed_header") from error
    if not isinstance(fields, dict):
        raise EntryRefusedError("the header is not a map", reason="malformed_header")
    # Three parts are hashed in a row: were a width free, bytes could move from one to the next.
    if len(payload_hash) != HASH_BYTES or len(entry_hash) != HASH_BYTES:
        raise EntryRefusedError("a hash is not 32 bytes", reason="malformed_header")
    if payload is not None:
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise EntryRefusedError("the payload is too large", reason="payload_too_large")
        if payload_hash_of(payload) != payload_hash:
            raise EntryRefusedError("the payload's hash differs", reason="payload_mismatch")
    return Entry(
        origin=_text(fields, "origin", _ORIGIN),
        seq=_number(fields, "seq", 1, SEQ_MAX),
        hlc=_number(fields, "hlc", 0, HLC_MAX),
        kind=_text(fields, "kind", _WORD),
        actor=_text(fields, "actor", None),
        policy_seq=_number(fields, "policy_seq", 0, SEQ_MAX),
        entity_ids=_entity_ids(fields),
        header=header,
        payload=payload,
        payload_hash=payload_hash,
        hash=entry_hash,
    )


def _text(fields: dict[str, Value], key: str, form: re.Pattern[str] | None) -> str:
    value = fields.get(key)
    if isinstance(value, str) and (form is None or form.fullmatch(value)):
        return value
    raise EntryRefusedError(f"{key} is malformed", reason="malformed_header")


def _entity_ids(fields: dict[str, Value]) -> tuple[str, ...]:
    ids = fields.get("entity_ids")
    if isinstance(ids, list) and len(ids) <= ENTITY_IDS_MAX:
        found = tuple(one for one in ids if isinstance(one, str))
        if len(found) == len(ids):
            return found
    raise EntryRefusedError("entity_ids is no list of texts", reason="malformed_header")


def _number(fields: dict[str, Value], key: str, low: int, high: int) -> int:
    value = fields.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise EntryRefusedError(f"{key} is malformed", reason="malformed_header")


def decode_payload(entry: Entry) -> dict[str, Value]:
    """The payload as a map.

    Raises:
        EntryRefusedError: `payload_missing` or `malformed_payload`.
    """
    if entry.payload is None:
        raise EntryRefusedError("the payload was not sent", reason="payload_missing")
    try:
        payload = decode(entry.payload)
    except CanonicalError as error:
        raise EntryRefusedError(str(error), reason="malformed_payload") from error
    if not isinstance(payload, dict):
        raise EntryRefusedError("the payload is not a map", reason="malformed_payload")
    return payload

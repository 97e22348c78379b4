"""The bytes of a link's signature, and what a change to the link does to it."""

from dataclasses import replace
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.domain.memory import MemoryLink
from app.services.keys import KeyDirectory
from app.services.link_signing import KeyLinkSigner, LinkVerifier, signed_bytes

LINK = MemoryLink("s", "d", "related_to", created_at="2026-01-01", valid_from="2026-01-01")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_the_signed_bytes_are_the_ones_that_v070_signs():
    link = replace(LINK, observed_by="o", valid_from="f")

    # A definite map of six, its keys in plain lexicographic order, absent values null.
    assert signed_bytes(link).hex(" ") == (
        "a6"
        " 66 64 73 74 5f 69 64 61 64"  # dst_id: d
        " 6b 6f 62 73 65 72 76 65 64 5f 62 79 61 6f"  # observed_by: o
        " 68 72 65 6c 61 74 69 6f 6e 6a 72 65 6c 61 74 65 64 5f 74 6f"  # relation: related_to
        " 66 73 72 63 5f 69 64 61 73"  # src_id: s
        " 6a 76 61 6c 69 64 5f 66 72 6f 6d 61 66"  # valid_from: f
        " 6b 76 61 6c 69 64 5f 75 6e 74 69 6c f6"  # valid_until: null
    )
    assert list(cbor2.loads(signed_bytes(link))) == sorted(cbor2.loads(signed_bytes(link)))


@pytest.mark.parametrize(
    "change",
    [
        {"source_id": "x"},
        {"target_id": "x"},
        {"relation": "supersedes"},
        {"valid_from": None},
        {"valid_until": "2027-01-01"},
    ],
)
async def test_a_signature_covers_every_field(tmp_path: Path, change: dict[str, str | None]):
    (tmp_path / "node.pub").write_bytes(KEY.public_key().public_bytes_raw())
    verifier = LinkVerifier(KeyDirectory(tmp_path))
    signed = KeyLinkSigner("node", KEY).signed(LINK)

    assert (await verifier.check(signed)).holds
    assert (await verifier.check(signed)).signer == "node"
    changed = await verifier.check(replace(signed, **change))  # type: ignore[arg-type]
    assert (changed.holds, changed.signer) == (False, None)


async def test_a_damaged_key_is_a_finding_and_no_failure(tmp_path: Path):
    (tmp_path / "node.pub").write_bytes(b"short")

    check = await LinkVerifier(KeyDirectory(tmp_path)).check(
        KeyLinkSigner("node", KEY).signed(LINK)
    )

    assert not check.holds
    assert check.findings == ("the key of 'node' is refused: 5 bytes, want 32",)


async def test_without_a_key_directory_nothing_verifies():
    check = await LinkVerifier(None).check(KeyLinkSigner("node", KEY).signed(LINK))

    assert check.findings == ("no key is enrolled for 'node'",)

"""Credentials of issuers: what they prove, and every way in which they prove nothing."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.replication.credentials import (
    CredentialRefusedError,
    TrustBundle,
    read_bundle,
    read_chain,
    read_credential,
)
from app.replication.vouching import Vouching

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
DOMAIN = "fleet.example"


def private(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number] * 32))


def public(number: int) -> bytes:
    return private(number).public_key().public_bytes_raw()


ROOT, REGION, NODE, STRANGER = 1, 2, 3, 4


def signed(by: int = ROOT, **changed: object) -> dict[str, bytes]:
    """A credential of a node, signed by the root unless said otherwise."""
    claims = {
        "subject_agent_id": "region/nyc/node-1",
        "subject_pubkey": public(NODE),
        "issuer_id": "root",
        "trust_domain": DOMAIN,
        "not_before": SECONDS - 60,
        "not_after": SECONDS + 3_600,
        "cred_version": 1,
        **changed,
    }
    body = cbor2.dumps(claims, canonical=True)
    return {"claims": body, "sig": private(by).sign(body)}


def header(credential: object) -> str:
    return "v1=" + b64encode(cbor2.dumps(credential)).decode()


BUNDLE = TrustBundle({"root": public(ROOT)}, DOMAIN)


def refusal(value: str, chain: str | None = None, bundle: TrustBundle = BUNDLE) -> str:
    with pytest.raises(CredentialRefusedError) as refused:
        bundle.verify(value, chain, NOW)
    return refused.value.code


def test_an_issuers_word_binds_a_key_to_a_name():
    claims = BUNDLE.verify(header(signed()), None, NOW)
    assert (claims.subject, claims.public_key) == ("region/nyc/node-1", public(NODE))


def test_a_key_may_be_written_as_a_list_of_numbers():
    claims = BUNDLE.verify(header(signed(subject_pubkey=list(public(NODE)))), None, NOW)
    assert claims.public_key == public(NODE)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"cred_version": 2}, "unsupported_version"),
        ({"issuer_id": "somebody"}, "unknown_issuer"),
        ({"by": STRANGER}, "bad_signature"),
        ({"trust_domain": "other.example"}, "wrong_trust_domain"),
        ({"not_after": SECONDS - 31}, "expired"),
        ({"not_before": SECONDS + 31}, "not_yet_valid"),
        ({"subject_pubkey": b"short"}, "malformed"),
        ({"subject_agent_id": 7}, "malformed"),
        ({"not_after": "later"}, "malformed"),
    ],
)
def test_what_proves_nothing(changed: dict[str, object], code: str):
    assert refusal(header(signed(**changed))) == code  # type: ignore[arg-type]  # `by` is a number


def test_clocks_may_differ_by_half_a_minute():
    BUNDLE.verify(header(signed(not_after=SECONDS - 29)), None, NOW)
    BUNDLE.verify(header(signed(not_before=SECONDS + 29)), None, NOW)


def test_a_changed_claim_is_not_signed():
    credential = signed()
    other = signed(by=STRANGER, subject_agent_id="root")
    assert refusal(header({**credential, "claims": other["claims"]})) == "bad_signature"


REGIONAL = signed(subject_agent_id="region/nyc/ca", subject_pubkey=public(REGION))
LEAF = signed(by=REGION, issuer_id="region/nyc/ca")


@pytest.mark.parametrize("spelling", ["list of texts", "list in one text", "plain base64"])
def test_an_intermediate_stands_between_root_and_node(spelling: str):
    chain = {
        "list of texts": header(REGIONAL),
        "list in one text": b64encode(cbor2.dumps([REGIONAL])).decode(),
        "plain base64": b64encode(cbor2.dumps(REGIONAL)).decode(),
    }[spelling]
    assert BUNDLE.verify(header(LEAF), chain, NOW).public_key == public(NODE)


def test_a_chain_hangs_together_by_name_domain_and_key():
    chain = header(REGIONAL)
    assert refusal(header(LEAF)) == "unknown_issuer"
    assert refusal(header(signed(by=REGION, issuer_id="region/sfo/ca")), chain) == "name_mismatch"
    foreign = signed(by=REGION, issuer_id="region/nyc/ca", trust_domain="other.example")
    assert refusal(header(foreign), chain) == "wrong_trust_domain"
    assert refusal(header(signed(issuer_id="region/nyc/ca")), chain) == "bad_signature"
    assert refusal(header(LEAF), f"{chain},{chain}") == "chain_too_deep"
    late = header({**REGIONAL, **signed(not_after=SECONDS - 99, subject_agent_id="region/nyc/ca")})
    assert refusal(header(LEAF), late) == "expired"


def test_without_a_domain_any_is_taken():
    bundle = TrustBundle({"root": public(ROOT)})
    assert bundle.verify(header(signed(trust_domain="x")), None, NOW).trust_domain == "x"


@given(st.one_of(st.text(), st.binary().map(lambda raw: "v1=" + b64encode(raw).decode())))
def test_any_header_is_a_credential_or_refused(value: str):
    for read in (read_credential, read_chain):
        try:
            read(value)
        except CredentialRefusedError as refused:
            assert refused.code in {"malformed", "unsupported_version"}  # noqa: PT017  # either way


def test_a_bundle_is_a_folder_of_keys_without_its_subfolders(tmp_path: Path):
    (tmp_path / "root.pub").write_bytes(public(ROOT))
    (tmp_path / "notes.txt").write_text("no key")
    (tmp_path / "region").mkdir()
    (tmp_path / "region" / "ca.pub").write_bytes(public(REGION))
    assert read_bundle(tmp_path, DOMAIN).issuers == {"root": public(ROOT)}

    (tmp_path / "bad.pub").write_bytes(b"short")
    with pytest.raises(ValueError, match="5 bytes"):
        read_bundle(tmp_path, None)


def test_a_shown_credential_vouches_until_it_ends():
    time = [NOW]
    vouching = Vouching(lambda _: None, lambda: time[0], BUNDLE)
    assert not vouching.vouched("region/nyc/node-1", public(NODE))
    assert vouching.show(header(signed()), None) is not None
    assert vouching.show(header(signed(by=STRANGER)), None) is None
    assert vouching.vouched("region/nyc/node-1", public(NODE))
    assert not vouching.vouched("region/nyc/node-1", public(STRANGER))
    time[0] += timedelta(hours=2)
    assert not vouching.vouched("region/nyc/node-1", public(NODE))

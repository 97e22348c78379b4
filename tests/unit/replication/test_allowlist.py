"""The allowlist's grammar: what stands for a certificate, and what is an error in which line."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.replication.allowlist import FingerprintError, parse_allowlist, parse_fingerprint

FINGERPRINT = "0123456789abcdef" * 4
NOW = datetime(2026, 11, 22, tzinfo=UTC)

fingerprints = st.binary(min_size=32, max_size=32).map(bytes.hex)
blanks = st.text(" \t", max_size=3)


@st.composite
def spelled(draw, of: str) -> str:
    """One of the ways to write a fingerprint."""
    signs = [sign.upper() if draw(st.booleans()) else sign for sign in of]
    with_colons = "".join(sign + (":" if draw(st.booleans()) else "") for sign in signs)
    return ("sha256:" if draw(st.booleans()) else "") + with_colons


@given(st.data(), st.lists(fingerprints, min_size=1, max_size=5))
def test_every_spelling_is_the_same_certificate(data, wanted: list[str]):
    lines = []
    for one in wanted:
        lines.extend(data.draw(st.lists(st.sampled_from(["", "  ", "# a comment", "\t# #"]))))
        label = data.draw(st.sampled_from(["", " # node-b", "#x", " # two # signs"]))
        lines.append(data.draw(blanks) + data.draw(spelled(one)) + data.draw(blanks) + label)
    text = data.draw(st.sampled_from(["\n", "\r\n"])).join(lines)

    assert dict(parse_allowlist(text).entries) == dict.fromkeys(wanted)


@given(st.text())
def test_a_text_is_a_list_or_refused_and_never_anything_else(text: str):
    try:
        found = parse_allowlist(text)
    except FingerprintError:
        return
    assert found.entries
    assert all(parse_fingerprint(one) == one for one in found.entries)


@pytest.mark.parametrize(
    "value",
    [
        FINGERPRINT[:-1],
        FINGERPRINT + "0",
        FINGERPRINT[:32] + " " + FINGERPRINT[32:],
        FINGERPRINT[:-1] + "g",
        "SHA256:" + FINGERPRINT,
        "sha256: " + FINGERPRINT,
        "sha256:sha256:" + FINGERPRINT,
        "md5:" + FINGERPRINT,
        FINGERPRINT + ",",
        "sha256:",
        FINGERPRINT[:-1] + "\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_a_malformed_line_is_named_by_its_number(value: str):
    with pytest.raises(FingerprintError, match="line 3: "):
        parse_allowlist(f"# clients\n{FINGERPRINT}\n{value}\n")


@pytest.mark.parametrize("text", ["", "\n\n", "# nobody\n  # at all\n"])
def test_an_empty_list_is_refused(text: str):
    with pytest.raises(FingerprintError, match="names no certificate"):
        parse_allowlist(text)


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:30:00Z", datetime(2027, 1, 31, 12, 30, tzinfo=UTC)),
        ("2027-01-31T12:30:00+02:00", datetime(2027, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_an_entry_may_have_an_end(word: str, end: datetime):
    found = parse_allowlist(f"{FINGERPRINT} # node-b expires={word}")

    assert found.admits(FINGERPRINT, NOW)
    assert not found.admits(FINGERPRINT, end)
    assert not found.admits("f" * 64, NOW)


@pytest.mark.parametrize("word", ["", "soon", "2027-13-01", "31.1.2027"])
def test_an_end_that_is_none_is_an_error(word: str):
    with pytest.raises(FingerprintError, match="line 1: `expires="):
        parse_allowlist(f"{FINGERPRINT} # expires={word}")

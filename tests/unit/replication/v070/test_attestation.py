"""What peers are granted."""

import json

import pytest

from app.replication.v070.attestation import parse_attestation


def grant(**lists: list[str]):
    return parse_attestation(json.dumps({"p": lists}))


@pytest.mark.parametrize(
    ("glob", "inside", "outside"),
    [
        ("work", ["work"], ["work/a", "Work", "worker"]),
        ("work/*", ["work/a"], ["work", "work/a/b"]),
        ("work/**", ["work/a", "work/a/b"], ["work", "home"]),
        ("**", ["a", "a/b/c"], []),
        ("*", ["a"], ["a/b"]),
        ("te*m", ["team", "tem"], ["te/am"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_globs(glob, inside, outside):
    granted = grant(allowed_namespaces=[glob])
    assert all(granted.may_read("p", one) for one in inside)
    assert not any(granted.may_read("p", one) for one in outside)
    assert not granted.may_read("q", "work")


def test_nothing_is_granted_by_default():
    for found in (parse_attestation(None), parse_attestation("{}"), grant()):
        assert not found.may_read("p", "work")
        assert found.may_send_as("p", "p")
        assert not found.may_send_as("p", "q")
    assert grant(allowed_sender_agent_ids=["q"]).may_send_as("p", "q")


@pytest.mark.parametrize("text", ["", "no", "[]", '{"p": {"more": 1}}', '{"p": 5}', "{" * 9_999])
def test_what_cannot_be_read_is_set_and_empty(text):
    found = parse_attestation(text)
    assert found.is_set
    assert found.grants == {}

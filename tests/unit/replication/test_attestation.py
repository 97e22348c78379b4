"""Scopes of peers as an operator wrote them down."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.namespace_glob import matches_namespace
from app.replication.attestation import AttestedScopes, parse_attestation

names = st.lists(st.text("abc-.", min_size=1, max_size=4), min_size=1, max_size=8).map("/".join)


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("team", ["team"], ["teams", "team/a", "Team", ""]),
        ("team/*", ["team/a", "team/b.c"], ["team", "team/", "team/a/b"]),
        ("team/**", ["team/a", "team/a/b"], ["team", "teams/a"]),
        ("**", ["team", "a/b/c", "*"], [""]),
        ("*", ["team"], ["a/b", "*"]),
        ("proj-*/x", ["proj-1/x", "proj-/x"], ["proj-1", "proj-1/y", "proj-1/a/x"]),
        ("a.c", ["a.c"], ["abc"]),
        ("", [], ["team"]),
    ],
)
def test_patterns(pattern: str, fits: list[str], fits_not: list[str]):
    assert [one for one in fits if not matches_namespace(pattern, one)] == []
    assert [one for one in fits_not if matches_namespace(pattern, one)] == []


@given(names)
def test_a_plain_name_is_its_own_pattern(name: str):
    assert matches_namespace(name, name)
    assert matches_namespace("**", name)
    assert matches_namespace(f"{name}/**", f"{name}/below")
    assert not matches_namespace(f"{name}/*", name)


def scopes(text: str | None, **bound: str) -> AttestedScopes:
    return AttestedScopes(parse_attestation(text), lambda node: bound.get(node, ""))


def test_without_a_word_everybody_may_everything():
    found = scopes(None, n="node-b")
    assert not found.is_limited("n")
    assert found.may_read("n", "any/where")
    assert found.may_write("n", "any/where")


def test_a_named_peer_may_what_is_written_and_any_other_nothing():
    text = json.dumps(
        {
            "node-b": {"allowed_namespaces": ["public/*", "team/**"]},
            "node-c": {"allowed_namespaces": ["**"]},
            "node-d": {"allowed_sender_agent_ids": ["ai:x"]},
        }
    )
    found = scopes(text, b="node-b", c="node-c", d="node-d")
    assert found.may_read("b", "public/x")
    assert found.may_write("b", "team/x/y")
    assert not found.may_read("b", "public/x/y")
    assert not found.may_write("b", "secret")
    assert not found.is_limited("c")
    assert found.may_read("c", "secret")
    for node in ("d", "stranger"):
        assert found.is_limited(node)
        assert not found.may_read(node, "public/x")
        assert not found.may_write(node, "public/x")


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"node-b": []}',
        '{"node-b": {"allowed_namespaces": "**"}}',
        '{"node-b": {"allowed_namespace": ["**"]}}',
        '{"node-b": {"allowed_namespaces": [1]}}',
    ],
)
def test_what_cannot_be_read_grants_nothing(text: str):
    found = scopes(text, b="node-b")
    assert found.is_limited("b")
    assert not found.may_read("b", "public")
    assert parse_attestation(text).is_configured

"""Policies: merged, checked, shown; and the chain of namespaces."""

import pytest

from app.domain.errors import InvalidInputError
from app.domain.memory import Json
from app.domain.policy import chain_of, merged_policy, policy_problem, shown_policy


def test_what_is_given_wins_over_what_stands_key_by_key():
    standing: dict[str, Json] = {"write": "owner", "delete": "any", "odd": [1]}

    assert merged_policy(standing, {"write": "any"}) == {
        "write": "any",
        "delete": "any",
        "odd": [1],
    }


def test_a_policy_that_stood_before_anybody_checked_is_replaced():
    assert merged_policy("nonsense", {"write": "any"}) == {"write": "any"}


def test_a_policy_without_write_is_refused_even_if_one_stands():
    with pytest.raises(InvalidInputError, match="invalid governance: write is required"):
        merged_policy({"write": "any"}, {"delete": "any"})


def test_a_standing_key_that_is_wrong_is_refused_with_the_new_ones():
    with pytest.raises(InvalidInputError, match="delete must be one of"):
        merged_policy({"delete": "never"}, {"write": "any"})


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("write", "approve", None),
        ("approver", {"agent": "ai:lead"}, {"agent": "ai:lead", "consensus": 2}),
        ("approver", {"consensus": 1}, {"consensus": True}),
        ("inherit", False, 0),
        ("max_reflection_depth", 0, -1),
        ("max_reflection_depth", None, True),
        ("require_approval_above_depth", -5, "deep"),
        ("auto_classify_kind", "regex_only", "llm"),
        ("synthesis_failure_mode", "block_write", ""),
        ("confidence_decay_half_life_days", 0.5, 0),
        ("legacy_per_pair_classifier", True, "true"),
        ("something_else", {"any": "thing"}, None),
    ],
)
def test_each_key_has_its_values(key: str, good: object, bad: object):
    assert policy_problem({key: good}) is None  # type: ignore[dict-item]
    if key != "something_else":
        assert policy_problem({key: bad}) is not None  # type: ignore[dict-item]


def test_a_shown_policy_has_its_defaults():
    assert shown_policy({"delete": "any"})["delete"] == "any"
    assert shown_policy(None) == {
        "write": "any",
        "promote": "any",
        "delete": "owner",
        "approver": "human",
        "inherit": True,
    }


@pytest.mark.parametrize(
    ("namespace", "ancestors", "chain"),
    [
        ("*", [], ["*"]),
        ("a", [], ["*", "a"]),
        ("a/b/c", [], ["*", "a", "a/b", "a/b/c"]),
        ("a/b", ["near", "far"], ["*", "far", "near", "a", "a/b"]),
        ("a/b", ["*", "a/b"], ["*", "a", "a/b"]),
    ],
)
def test_a_chain_goes_from_general_to_specific(
    namespace: str, ancestors: list[str], chain: list[str]
):
    assert chain_of(namespace, ancestors) == chain

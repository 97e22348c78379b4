"""What may enter the store, and the words in which the rest is refused (http-api 2.13)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import validation as must
from app.domain.errors import InvalidInputError

NOW = "2026-06-12T09:15:02.000000+00:00"


def nested(depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(depth - 1):
        found = {"in": found}
    return found


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (must.title, "x" * 512),
        (must.title, "ä" * 512),
        (must.content, "ä" * 32_768),
        (must.content, "line\n\ttab"),
        (must.namespace, "a/b/c/d/e/f/g/h"),
        (must.namespace, "_messages/ai:claude@host:pid-1"),
        (must.namespace, "Größe"),
        (must.namespace, "*"),
        (must.source, "shared"),
        (must.priority, 10),
        (must.confidence, 0.0),
        (must.ttl_seconds, 31_536_000),
        (must.metadata, nested(32)),
        (must.metadata, {"scope": "team", "n": (1 << 64) - 1, "f": 1.5, "l": [None, True]}),
        (must.source_uri, "doc:manual"),
        (must.memory_id, "a.b:c@d-e_f"),
        (must.relation, "related_to"),
        (must.agent_type, "ai:claude-4.5"),
    ],
)
def test_values_at_the_limits_are_taken_as_they_are(check, value):
    assert check(value) == value


@pytest.mark.parametrize(
    ("check", "value", "text"),
    [
        (must.title, "", "title cannot be empty"),
        (must.title, " \t\n", "title cannot be empty"),
        (must.title, "x" * 513, "title exceeds max length of 512 characters"),
        (must.title, "a\x00b", "title contains invalid characters"),
        (must.title, "half \ud83d", "title contains invalid characters"),
        (must.content, "", "content cannot be empty"),
        (must.content, "ä" * 32_769, "content exceeds max size of 65536 bytes"),
        (must.content, "a\rb", "content contains invalid characters"),
        (must.content, "a\x85b", "content contains invalid characters"),
        (must.namespace, "", "namespace cannot be empty"),
        (must.namespace, "a b", "namespace cannot contain spaces (use hyphens or underscores)"),
        (must.namespace, "a/b/c/d/e/f/g/h/i", "namespace depth 9 exceeds max of 8"),
        (must.namespace, "/a", "namespace cannot start or end with '/'"),
        (must.namespace, "a/", "namespace cannot start or end with '/'"),
        (must.namespace, "a//b", "namespace cannot contain empty segments"),
        (must.namespace, "a/../b", "namespace cannot contain '.' or '..' segments"),
        (must.namespace, "a\\b", "namespace contains invalid characters"),
        (must.namespace, "x" * 513, "namespace exceeds max length of 512 characters"),
        (
            must.source,
            "robot",
            (
                "invalid source 'robot' — must be one of: user, nhi, claude, hook, api, cli,"
                " import, consolidation, system, chaos, notify"
            ),
        ),
        (must.tags, ["t"] * 51, "too many tags (max 50)"),
        (must.tags, [" "], "tag cannot be empty"),
        (must.tags, ["ä" * 65], "tag exceeds max length of 128 bytes"),
        (must.tags, ["a\tb\x07"], "tag contains invalid characters"),
        (must.capabilities, ["c"] * 51, "too many capabilities (max 50)"),
        (must.priority, 0, "priority must be between 1 and 10 (got 0)"),
        (must.priority, 10**30, f"priority must be between 1 and 10 (got {10**30})"),
        (must.confidence, 1.5, "confidence must be between 0.0 and 1.0 (got 1.5)"),
        (must.confidence, 2.0, "confidence must be between 0.0 and 1.0 (got 2)"),
        (must.confidence, float("nan"), "confidence must be between 0.0 and 1.0 (got nan)"),
        (must.ttl_seconds, 0, "ttl_secs must be positive (got 0)"),
        (must.ttl_seconds, 31_536_001, "ttl_secs exceeds maximum of 1 year"),
        (must.metadata, [], "metadata must be a JSON object"),
        (must.metadata, nested(33), "metadata nesting exceeds max depth of 32"),
        (must.metadata, {"k": "x" * 65_536}, "metadata exceeds max size of 65536 bytes"),
        (must.metadata, {"k": "a\x00"}, "metadata contains invalid characters"),
        (must.metadata, {"a\x00": 1}, "metadata contains invalid characters"),
        (must.metadata, {"k": ["\udfff"]}, "metadata contains invalid characters"),
        (must.metadata, {"k": 1 << 64}, "metadata contains an integer of more than 64 bits"),
        (must.metadata, {"k": float("inf")}, "metadata contains a number that is not finite"),
        (
            must.metadata,
            {"scope": "galaxy"},
            "invalid scope 'galaxy' — must be one of: private, team, unit, org, collective",
        ),
        (
            must.scope,
            "Team",
            "invalid scope 'Team' — must be one of: private, team, unit, org, collective",
        ),
        (
            must.kind,
            "rumour",
            (
                "invalid kind 'rumour' — must be one of: observation, reflection, persona, concept,"
                " entity, claim, relation, event, conversation, decision"
            ),
        ),
        (
            must.on_conflict,
            "replace",
            "invalid on_conflict 'replace' (expected error|merge|version)",
        ),
        (
            must.source_uri,
            "http://x",
            "source URI must start with one of: uri:, doc:, file:",
        ),
        (must.source_uri, "doc:  ", "source URI has no payload after its prefix"),
        (must.source_uri, "doc:" + "x" * 4_096, "source URI exceeds max length of 4096 bytes"),
        (must.memory_id, "", "id cannot be empty"),
        (must.memory_id, "a..b", "id contains invalid characters"),
        (must.memory_id, "a/b", "id contains invalid characters"),
        (must.memory_id, "x" * 129, "id exceeds max length of 128 bytes"),
        (must.relation, "is-a", "invalid relation 'is-a'"),
        (
            must.agent_type,
            "robot",
            "invalid agent_type 'robot' — must be human, system or ai:<name>",
        ),
        (must.tier, "Long", "invalid tier 'Long' — must be one of: short, mid, long"),
    ],
)
def test_each_broken_rule_has_its_own_words_and_names_the_field(check, value, text):
    with pytest.raises(InvalidInputError) as refused:
        check(value)

    assert refused.value.message == text
    fields = refused.value.details["fields"]
    assert isinstance(fields, list)
    assert len(fields) == 1


def test_an_expiry_is_read_in_any_offset_and_kept_in_one_form():
    assert must.future_expiry("2026-06-12T11:15:03+02:00", NOW) == (
        "2026-06-12T09:15:03.000000+00:00"
    )


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (NOW, "expires_at is in the past"),
        ("2020-01-01T00:00:00Z", "expires_at is in the past"),
        ("tomorrow", "expires_at is not valid RFC3339: 'tomorrow'"),
        ("2026-06-12", "expires_at is not valid RFC3339: '2026-06-12'"),
    ],
)
def test_an_expiry_must_be_a_time_and_lie_ahead(text, refusal):
    with pytest.raises(InvalidInputError) as refused:
        must.future_expiry(text, NOW)

    assert refused.value.message == refusal


@pytest.mark.parametrize("span", [{"start": 0, "end": 1}, {"start": 7, "end": 900, "more": 1}])
def test_a_span_keeps_its_two_ends_only(span):
    assert must.source_span(span) == {"start": span["start"], "end": span["end"]}


@pytest.mark.parametrize(
    "span",
    [
        {"start": 2, "end": 2},
        {"start": -1, "end": 2},
        {"start": True, "end": 2},
        {"start": 1.0, "end": 2},
        {"end": 2},
        {"start": 1, "end": 1 << 64},
        "1..2",
    ],
)
def test_a_span_is_half_open_and_of_whole_numbers(span):
    with pytest.raises(InvalidInputError):
        must.source_span(span)


def test_a_citation_keeps_what_the_wire_knows_of_it():
    citation = {
        "uri": "file:/a.md",
        "accessed_at": "2026-06-12T09:15:02Z",
        "hash": "ab" * 32,
        "span": {"start": 1, "end": 2},
        "note": "not on the wire",
    }

    assert must.citations([citation]) == (
        {key: value for key, value in citation.items() if key != "note"},
    )


@pytest.mark.parametrize(
    "citation",
    [
        "file:/a.md",
        {"accessed_at": "2026-06-12T09:15:02Z"},
        {"uri": "http://a", "accessed_at": "2026-06-12T09:15:02Z"},
        {"uri": "file:/a", "accessed_at": "yesterday"},
        {"uri": "file:/a"},
        {"uri": "file:/a", "accessed_at": "2026-06-12T09:15:02Z", "hash": "abc"},
        {"uri": "file:/a", "accessed_at": "2026-06-12T09:15:02Z", "span": {"start": 2, "end": 1}},
    ],
)
def test_a_citation_needs_a_source_and_a_time(citation):
    with pytest.raises(InvalidInputError):
        must.citations([citation])


def test_there_are_at_most_64_citations():
    one = {"uri": "file:/a", "accessed_at": "2026-06-12T09:15:02Z"}

    assert len(must.citations([one] * 64)) == 64
    with pytest.raises(InvalidInputError, match="too many citations"):
        must.citations([one] * 65)


ANY_TEXT = st.text(st.characters(codec=None), max_size=600)


@given(ANY_TEXT)
def test_any_text_is_either_refused_or_can_be_stored(text):
    """Whatever passes is UTF-8 without control characters, as both databases want it."""
    for check in (must.title, must.content, must.namespace, must.memory_id, must.source_uri):
        try:
            taken = check(text)
        except InvalidInputError:
            continue
        assert taken == text
        taken.encode()
        assert "\x00" not in taken


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_either_refused_or_can_be_stored(value):
    try:
        taken = must.metadata(value)
    except InvalidInputError:
        return
    assert msgspec.json.decode(msgspec.json.encode(taken)) == taken

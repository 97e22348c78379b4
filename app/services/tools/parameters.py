"""The JSON schema of every tool parameter, by name: one name means one thing in all tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.memory import MEMORY_KINDS, SCOPES, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json


def _of(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


# A name that stands nowhere here is a text.
_TYPES: Final[Mapping[str, str]] = {
    **_of(
        "integer",
        "budget_tokens byte_estimate days depth expected_version host_turn_index k limit"
        " max_atom_tokens max_depth max_results offset older_than_days priority ttl_seconds",
    ),
    **_of("number", "confidence threshold"),
    **_of(
        "boolean",
        "as_admin consumed dry_run enabled_only force force_re_atomise has_citations"
        " include_archived include_invalidated include_schema inherit remember session_default"
        " unread_only verbose verbose_provenance",
    ),
    **_of(
        "array",
        "aliases allowed_agents args capabilities context_tokens event_types events ids kinds"
        " source_ids tags",
    ),
    **_of("objects", "citations tool_calls"),
    **_of(
        "object",
        "governance inline_skill metadata parameters_schema pipeline_override source_span",
    ),
}

_WORDS: Final[Mapping[str, Sequence[str]]] = {
    "tier": tuple(tier.value for tier in Tier),
    "target_tier": ("mid", "long"),
    "scope": SCOPES,
    "on_conflict": ("error", "merge", "version"),
    "edit_source": ("human", "llm", "hook"),
    "role": ("user", "assistant", "system", "tool"),
}

_MEANINGS: Final[Mapping[str, str]] = {
    "agent_id": "The agent that acts or is asked about.",
    "as_agent": "Namespace from which visibility is judged.",
    "budget_tokens": "Most tokens that the answer may hold.",
    "context": "What the agent is doing, in plain words.",
    "dry_run": "Only say what would happen.",
    "expected_version": "Refuse when the memory has another version.",
    "expires_at": "RFC 3339 time after which the memory is gone.",
    "id": "The id, or a prefix that only one has.",
    "kinds": f"Any of: {', '.join(MEMORY_KINDS)}.",
    "limit": "Most rows in the answer.",
    "max_depth": "Most links followed in a row.",
    "namespace": "Levels with slashes between, such as team/project.",
    "on_conflict": "What to do when the title is taken.",
    "priority": "1 to 10.",
    "confidence": "0 to 1.",
    "query": "Words that must all occur.",
    "relation": "Kind of the link.",
    "since": "RFC 3339; from here on.",
    "until": "RFC 3339; up to here.",
    "tags": "Labels.",
    "tier": "How long it lives untouched: short 6 hours, mid 7 days, long for good.",
    "title": "Unique in its namespace.",
    "content": "At most 65536 bytes.",
}

_FORMS: Final[Mapping[str, dict[str, Json]]] = {
    "array": {"type": "array", "items": {"type": "string"}},
    "objects": {"type": "array", "items": {"type": "object"}},
}


def parameter_schema(name: str, *, described: bool) -> dict[str, Json]:
    """The schema of one parameter; `described` adds its meaning where the name does not say it."""
    kind = _TYPES.get(name, "string")
    schema: dict[str, Json] = dict(_FORMS.get(kind, {"type": kind}))
    if name in _WORDS:
        schema["enum"] = list(_WORDS[name])
    if described and name in _MEANINGS:
        schema["description"] = _MEANINGS[name]
    return schema

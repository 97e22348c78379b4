"""The policy of a namespace, `metadata.governance` of its standard (http-api 2.10, semantics 2.4).

A policy is kept as the JSON object that it came as, unknown keys included; these functions check
one, merge one over another, and show one with its defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.domain.agent_id import validate_agent_id
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.domain.memory import Json

LEVELS: Final = ("any", "registered", "owner", "approve")
DEFAULTS: Final[Mapping[str, Json]] = {
    "write": "any",
    "promote": "any",
    "delete": "owner",
    "approver": "human",
    "inherit": True,
}

_COUNT_MAX: Final = (1 << 32) - 1


def _is_flag(value: Json) -> bool:
    return isinstance(value, bool)


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_MAX


def _is_whole(value: Json) -> bool:
    # Depths out of range are legal and fail closed when they are used (semantics 2.4).
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _one_of(*words: str) -> Callable[[Json], bool]:
    return lambda value: value in words


def _is_approver(value: Json) -> bool:
    match value:
        case "human":
            return True
        case {"agent": str(agent_id), **others} if not others:
            try:
                validate_agent_id(agent_id)
            except InvalidInputError:
                return False
            return True
        case {"consensus": int(votes), **others} if not others:
            return not isinstance(votes, bool) and 1 <= votes <= _COUNT_MAX
    return False


_RULES: Final[Mapping[str, tuple[Callable[[Json], bool], str]]] = {
    **dict.fromkeys(
        ("write", "promote", "delete"), (_one_of(*LEVELS), f"one of {', '.join(LEVELS)}")
    ),
    "approver": (_is_approver, '"human", {"agent": id} or {"consensus": n >= 1}'),
    **dict.fromkeys(
        (
            "inherit",
            "auto_atomise",
            "legacy_per_pair_classifier",
            "auto_export_personas_to_filesystem",
            "auto_export_reflections_to_filesystem",
        ),
        (_is_flag, "true or false"),
    ),
    **dict.fromkeys(
        (
            "max_reflection_depth",
            "auto_atomise_threshold_cl100k",
            "auto_atomise_max_atom_tokens",
            "auto_atomise_max_retries",
            "synthesis_max_deletes_per_call",
            "synthesis_max_candidate_chars",
            "multistep_max_content_chars",
            "auto_persona_trigger_every_n_memories",
        ),
        (_is_count, "a whole number of at least 0"),
    ),
    **dict.fromkeys(
        ("require_approval_above_depth", "skill_promotion_min_depth"),
        (_is_whole, "a whole number"),
    ),
    "confidence_decay_half_life_days": (_is_number, "a number above 0"),
    "auto_atomise_mode": (
        _one_of("off", "deferred", "synchronous"),
        "one of off, deferred, synchronous",
    ),
    "auto_classify_kind": (
        _one_of("off", "regex_only", "regex_then_llm"),
        "one of off, regex_only, regex_then_llm",
    ),
    "synthesis_failure_mode": (
        _one_of("fall_through", "block_write"),
        "one of fall_through, block_write",
    ),
}
_NULLABLE: Final = frozenset(_RULES) - frozenset(DEFAULTS)


def merged_policy(standing: Json, given: Mapping[str, Json]) -> dict[str, Json]:
    """What was given over what stands, key by key.

    Raises:
        InvalidInputError: `invalid governance: …`, also when the given one lacks `write`.
    """
    if "write" not in given:
        raise _invalid("write is required")
    merged = {**(standing if isinstance(standing, dict) else {}), **given}
    problem = policy_problem(merged)
    if problem is not None:
        raise _invalid(problem)
    return merged


def policy_problem(policy: Mapping[str, Json]) -> str | None:
    """What is wrong with a policy, or None; unknown keys are nobody's business."""
    for key, value in policy.items():
        rule = _RULES.get(key)
        if rule is None or (value is None and key in _NULLABLE):
            continue
        fits, wanted = rule
        if not fits(value):
            return f"{key} must be {wanted}"
    return None


def shown_policy(standing: Json) -> dict[str, Json]:
    """A stored policy with the defaults of what it leaves out."""
    return {**DEFAULTS, **(standing if isinstance(standing, dict) else {})}


def chain_of(namespace: str, ancestors: Sequence[str]) -> list[str]:
    """From the global standard down to a namespace (semantics 2.3).

    `ancestors` are the explicit parents of the root segment, nearest first.
    """
    if namespace == "*":
        return ["*"]
    segments = namespace.split("/")
    prefixes = ["/".join(segments[:count]) for count in range(1, len(segments) + 1)]
    above = [one for one in reversed(ancestors) if one != "*" and one not in prefixes]
    return ["*", *dict.fromkeys((*above, *prefixes))]


def _invalid(problem: str) -> InvalidInputError:
    return InvalidInputError(f"invalid governance: {problem}", fields=["governance"])
